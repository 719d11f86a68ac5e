"""An MCP server that uses only the standard library and writes its script byte for byte.

The argument is a JSON file: `initialize` (a result), `pages` (results of tools/list by cursor, "" for the first page's
own key). A call with the argument `raw` is answered by these characters as Latin-1 bytes, `$ID` being the request's id;
any other call by its arguments as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

SCRIPT: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())


def send(message: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def page(params: dict[str, Any]) -> dict[str, Any]:
    """The answer to tools/list: a result or an error."""
    answer = SCRIPT["pages"].get(params.get("cursor", "first"), SCRIPT["pages"].get("any"))
    return {"error": {"code": -32602, "message": "invalid cursor"}} if answer is None else {"result": answer}


for line in sys.stdin:
    request = json.loads(line)
    params = request.get("params") or {}
    match request.get("method"):
        case "initialize":
            answers = SCRIPT.get("initialize")
            refused = SCRIPT.get("refuses") == params["protocolVersion"]
            send({"id": request["id"], **({"error": SCRIPT["refusal"]} if refused else {"result": answers})})
        case "tools/list":
            send({"id": request["id"], **page(params)})
        case "tools/call" if "raw" in params["arguments"]:
            write(params["arguments"]["raw"].replace("$ID", str(request["id"])).encode("latin-1"))
        case "tools/call":
            text = json.dumps(params["arguments"])
            send({"id": request["id"], "result": {"content": [{"type": "text", "text": text}]}})
        case "ping":
            send({"id": request["id"], "result": {}})
