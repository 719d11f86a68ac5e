"""`vmpilot doctor`: what works on this machine, what does not, and how to fix it."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_common_options, add_settings
from vmpilot.cli._parser import Parser


def add_parser(commands: Parser) -> None:
    """The options of a request: what is checked is what such a request would use."""
    parser = commands.add_command(
        "doctor", description="Check the backends, settings, log, programs and sandbox, and show how to fix problems."
    )
    add_settings(parser)
    add_common_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run all checks and print them; exit code 1 if something is broken."""
    from vmpilot.cli._doctor import run_doctor

    return run_doctor(arguments)
