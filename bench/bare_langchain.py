"""LangChain's guide, followed to the letter: `create_agent` with a shell tool. `bare_langchain.py BASE_URL REQUEST`."""

from __future__ import annotations

import asyncio
import sys

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr


@tool
async def shell(command: str) -> str:
    """Run a command line with bash and return its output."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return output.decode() or "(no output)"


async def main() -> None:
    base_url, request = sys.argv[1:]
    model = ChatOpenAI(model="bench", base_url=base_url, api_key=SecretStr("x"), max_retries=0, stream_usage=True)
    agent = create_agent(model, tools=[shell])
    async for piece, _ in agent.astream({"messages": [HumanMessage(request)]}, stream_mode="messages"):
        if isinstance(piece, AIMessageChunk) and piece.text:
            sys.stdout.write(piece.text)
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
