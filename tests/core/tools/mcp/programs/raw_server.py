"""An MCP server that uses only the standard library and misbehaves in ways the SDK prevents.

The first argument selects the misbehavior; the second is a file with the JSON of the tools that it lists.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

Request: TypeAlias = dict[str, Any]

MODE, TOOLS = sys.argv[1], Path(sys.argv[2])
STARTS = TOOLS.with_suffix(".starts")


def send(message: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def answer(request: Request, result: dict[str, Any]) -> None:
    send({"id": request["id"], "result": result})


def say(request: Request, text: str) -> None:
    answer(request, {"content": [{"type": "text", "text": text}]})


def say_arguments(request: Request) -> None:
    say(request, json.dumps(request["params"]["arguments"]))


def crash(request: Request) -> None:
    print("assertion failed: no such shard", file=sys.stderr, flush=True)
    os._exit(7)


def crash_once(request: Request) -> None:
    if len(STARTS.read_text().split()) == 1:
        os._exit(7)
    say_arguments(request)


def send_huge(request: Request) -> None:
    sys.stdout.write("x" * (9 * 1024 * 1024) + "\n")
    signal.pause()


def send_huge_reply(request: Request) -> None:
    answer(request, {"content": "x" * (9 * 1024 * 1024)})


def send_junk(request: Request) -> None:
    for _ in range(2_000):
        print("<html>oops</html>", flush=True)
    signal.pause()


def flood(request: Request) -> None:
    while True:
        send({"method": "notifications/message", "params": {"level": "info", "data": "x"}})


def flood_stderr(request: Request) -> None:
    sys.stderr.write("noise\n" * 3_000_000)
    say(request, "calm again")


def change(request: Request) -> None:
    TOOLS.write_text(TOOLS.with_suffix(".next").read_text())
    send({"method": "notifications/tools/list_changed"})
    say(request, "changed")


def ask_back(request: Request) -> None:
    send({"id": "q1", "method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 10}})
    send({"id": "q2", "method": "roots/list"})
    errors = [json.loads(sys.stdin.readline()) for _ in range(2)]
    say(request, json.dumps(sorted(str(error.get("error", {}).get("message")) for error in errors)))


def start_another(request: Request) -> None:
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    say(request, "started")


CALLS: dict[str, Callable[[Request], None]] = {
    "crash": crash,
    "crash-once": crash_once,
    "kill": lambda request: os.kill(os.getpid(), signal.SIGKILL),
    "deaf": lambda request: signal.pause(),
    "huge": send_huge,
    "huge-reply": send_huge_reply,
    "long": lambda request: say(request, "word " * 50_000),
    "junk": send_junk,
    "flood": flood,
    "stderr": flood_stderr,
    "error": lambda request: send({"id": request["id"], "error": {"code": -1, "message": "no such \u202etable"}}),
    "change": change,
    "sample": ask_back,
    "family": start_another,
}


def start() -> None:
    with STARTS.open("a") as file:
        file.write(f"{os.getpid()}\n")
    match MODE:
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "silent":
            print("starting up, please wait", file=sys.stderr, flush=True)
            time.sleep(1000)
        case "dies":
            sys.exit("cannot find the licence")
        case "talks":
            print("Welcome to the server! What is your name?", flush=True)
            sys.stdin.readline()
            time.sleep(1000)


def serve(request: Request) -> None:
    match request.get("method"):
        case "initialize":
            info = {"name": "raw", "version": "1"}
            answer(request, {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info})
        case "tools/list":
            answer(request, {"tools": json.loads(TOOLS.read_text())})
        case "tools/call":
            CALLS.get(MODE, say_arguments)(request)
        case "ping":
            answer(request, {})


start()
for line in sys.stdin:
    serve(json.loads(line))
if MODE == "stubborn":
    time.sleep(1000)
