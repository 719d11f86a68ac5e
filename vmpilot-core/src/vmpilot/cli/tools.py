"""`vmpilot tools`: what the model is offered, and why other tools are not."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict

from vmpilot.app import Agent, ToolReport
from vmpilot.cli._options import agent_settings
from vmpilot.cli._style import printable


def list_tools(options: argparse.Namespace) -> int:
    """A row for each tool. MCP servers whose tools are not known yet are started for it."""
    tools, problems = asyncio.run(_list(options))
    if options.output != "text":
        print(json.dumps({"tools": [asdict(tool) for tool in tools], "problems": problems}))
        return 0
    width = max((len(tool.name) for tool in tools), default=0)
    for tool in tools:
        note = "" if tool.problem is None else f"not offered: {tool.problem}"
        print(printable(f"{tool.name:<{width}}  {tool.source:<10}  {note}".rstrip()))
    for problem in problems:
        print(printable(f"vmpilot: {problem}"), file=sys.stderr)
    return 0


async def _list(options: argparse.Namespace) -> tuple[tuple[ToolReport, ...], tuple[str, ...]]:
    async with Agent(folder=options.cwd, **agent_settings(options)) as agent:
        return await agent.list_tools()
