"""A minimal agent loop that calls LiteLLM directly. `bare_litellm.py BASE_URL REQUEST`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # otherwise the import makes a network request

import litellm

TOOL = {
    "type": "function",
    "function": {
        "name": "shell",
        "description": "Run a command line with bash and return its output.",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    },
}


async def main() -> None:
    base_url, request = sys.argv[1:]
    messages: list[dict[str, Any]] = [{"role": "user", "content": request}]
    while True:
        stream: Any = await litellm.acompletion(
            model="openai/bench", messages=messages, tools=[TOOL], stream=True, base_url=base_url, api_key="x"
        )
        message = await read_answer(stream)
        messages.append(message)
        if "tool_calls" not in message:
            return
        messages += await asyncio.gather(*map(run_command, message["tool_calls"]))


async def read_answer(stream: Any) -> dict[str, Any]:
    text: list[str] = []
    calls: list[dict[str, Any]] = []
    async for chunk in stream:
        delta = chunk.choices[0].delta
        if delta.content:
            text.append(delta.content)
            sys.stdout.write(delta.content)
            sys.stdout.flush()
        for piece in delta.tool_calls or ():
            if piece.id:
                function = {"name": piece.function.name, "arguments": ""}
                calls.append({"id": piece.id, "type": "function", "function": function})
            calls[piece.index]["function"]["arguments"] += piece.function.arguments
    answer: dict[str, Any] = {"role": "assistant", "content": "".join(text)}
    return answer | ({"tool_calls": calls} if calls else {})


async def run_command(call: dict[str, Any]) -> dict[str, Any]:
    command = json.loads(call["function"]["arguments"])["command"]
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return {"role": "tool", "tool_call_id": call["id"], "content": output.decode() or "(no output)"}


if __name__ == "__main__":
    asyncio.run(main())
