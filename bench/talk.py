"""A conversation of many turns with VMPilot, as in a server: `talk.py BACKEND BASE_URL REQUEST…`."""

from __future__ import annotations

import asyncio
import sys

from vmpilot import Agent
from vmpilot.contract import TextDelta


async def main() -> None:
    backend, base_url, *requests = sys.argv[1:]
    async with Agent(backend=backend, base_url=base_url, model="bench", mode="full") as agent:
        for request in requests:
            async for event in agent.run(request):
                if isinstance(event, TextDelta):
                    sys.stdout.write(event.text)
                    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
