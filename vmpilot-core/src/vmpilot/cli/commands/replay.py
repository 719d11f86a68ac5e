"""`vmpilot replay`: replay a recording on a backend."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_common_options
from vmpilot.cli._parser import Parser


def add_parser(commands: Parser) -> None:
    """The recording and the backend."""
    parser = commands.add_command(
        "replay",
        description=(
            "Replay a recording made with --record. The model's answers and the tools' results come from the file: "
            "nothing is run, and no API key is needed. The exit code is 0 if the backend does the same as in the "
            "recording."
        ),
    )
    parser.add_argument("file", metavar="FILE", help="The recording")
    parser.add_argument("--backend", metavar="NAME", help="Backend to use [default: the recorded one]")
    add_common_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replay each turn and print the differences. Raises the contract's errors."""
    from vmpilot.cli._replay import run_replay

    return run_replay(arguments)
