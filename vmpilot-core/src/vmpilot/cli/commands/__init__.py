"""The commands, one module each: `add_parser` adds its options to the parser, `run` carries it out.

Parsing imports these modules, so they import whatever is slow in the functions that need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from vmpilot.cli._parser import Parser

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    from typing import Any

COMMANDS: Mapping[str, str] = {
    "ask": "Send a request, even if it starts like a command",
    "chats": "List, read, search and manage conversations",
    "cost": "Show what model calls cost",
    "audit": "Show the commands that were run or denied",
    "compare": "Run one task on several backends and models",
    "replay": "Replay a recording on a backend",
    "backends": "List, check and create backends",
    "tools": "List the tools that the model can use",
    "config": "Show and change settings",
    "jobs": "List, read and stop background jobs",
    "doctor": "Check that VMPilot works on this machine",
    "cache": "Show or clear the answer cache",
    "trust": "Trust a project's configuration file",
    "distrust": "Withdraw trust and saved rules from a project",
}
"""Each command and its line in the help. The module of the same name holds it."""


def load_command(name: str) -> Any:
    """The module of a command."""
    return import_module(f"{__name__}.{name}")


def announce_commands(root: Parser) -> None:
    """List the commands in the help of `root`; each is imported when it is needed."""
    for name, summary in COMMANDS.items():
        root.announce_command(name, summary, lambda parser, name=name: load_command(name).add_parser(parser))  # type: ignore[misc]
