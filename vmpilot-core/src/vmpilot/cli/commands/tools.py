"""`vmpilot tools`: the tools that the model can use, and why it cannot use others."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_common_options, add_settings
from vmpilot.cli._parser import Parser

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    from vmpilot.app import ToolReport


def add_parser(commands: Parser) -> None:
    """The options of a request: what is listed is what such a request would offer."""
    parser = commands.add_command("tools", description="List the tools that the model can use in a request.")
    add_settings(parser)
    add_common_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a row per tool. MCP servers whose tools are not known yet are started."""
    import asyncio
    import json
    import sys
    from dataclasses import asdict

    from vmpilot.cli._style import printable

    tools, problems = asyncio.run(_list_tools(arguments))
    if arguments.output == "json":
        print(json.dumps({"tools": [asdict(tool) for tool in tools], "problems": problems}))
        return 0
    width = max((len(tool.name) for tool in tools), default=0)
    for tool in tools:
        note = "" if tool.problem is None else f"not available: {tool.problem}"
        print(printable(f"{tool.name:<{width}}  {tool.source:<10}  {note}".rstrip()))
    for problem in problems:
        print(printable(f"vmpilot: {problem}"), file=sys.stderr)
    return 0


async def _list_tools(arguments: argparse.Namespace) -> tuple[tuple[ToolReport, ...], tuple[str, ...]]:
    from vmpilot.app import Agent
    from vmpilot.cli._options import agent_settings

    async with Agent(folder=arguments.cwd, **agent_settings(arguments)) as agent:
        return await agent.list_tools()
