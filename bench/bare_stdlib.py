"""The lower limit: an agent loop on the standard library alone. `bare_stdlib.py BASE_URL REQUEST…`."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

TOOL = {
    "type": "function",
    "function": {
        "name": "shell",
        "description": "Run a command line with bash and return its output.",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    },
}


def main() -> None:
    base_url, *requests = sys.argv[1:]
    place = urlsplit(base_url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    messages: list[dict[str, Any]] = []
    for request in requests:
        messages.append({"role": "user", "content": request})
        answer(connection, f"{place.path}/chat/completions", messages)


def answer(connection: http.client.HTTPConnection, path: str, messages: list[dict[str, Any]]) -> None:
    while True:
        body = {"model": "bench", "messages": messages, "tools": [TOOL], "stream": True}
        headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
        connection.request("POST", path, json.dumps(body), headers)
        message = read_answer(connection.getresponse())
        messages.append(message)
        if "tool_calls" not in message:
            return
        messages += run_commands(message["tool_calls"])


def read_answer(response: http.client.HTTPResponse) -> dict[str, Any]:
    text: list[str] = []
    calls: list[dict[str, Any]] = []
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        delta = json.loads(line[6:])["choices"][0]["delta"]
        if delta.get("content"):
            text.append(delta["content"])
            sys.stdout.write(delta["content"])
            sys.stdout.flush()
        for piece in delta.get("tool_calls", ()):
            if "id" in piece:
                function = {"name": piece["function"]["name"], "arguments": ""}
                calls.append({"id": piece["id"], "type": "function", "function": function})
            calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    answer: dict[str, Any] = {"role": "assistant", "content": "".join(text)}
    return answer | ({"tool_calls": calls} if calls else {})


def run_commands(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    commands = [json.loads(call["function"]["arguments"])["command"] for call in calls]
    started = [
        subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command in commands
    ]
    outputs = [process.communicate()[0] for process in started]
    return [
        {"role": "tool", "tool_call_id": call["id"], "content": output or "(no output)"}
        for call, output in zip(calls, outputs, strict=True)
    ]


if __name__ == "__main__":
    main()
