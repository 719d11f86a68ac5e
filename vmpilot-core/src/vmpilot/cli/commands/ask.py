"""`vmpilot ask`, which is also what runs when no command is named: send one request."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_request_options
from vmpilot.cli._parser import Parser


def add_parser(commands: Parser) -> None:
    """The request and all its options."""
    parser = commands.add_command("ask", description="Send a request. Standard input is added to it.", add_help=False)
    parser.prog = "vmpilot"  # errors are about a request, whether `ask` was typed or not
    parser.usage = "vmpilot [ask] [options] [--] [REQUEST …]"
    parser.add_argument("words", nargs="*", metavar="REQUEST", help="What to do")
    add_request_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the request and return its exit code. Raises the contract's errors if it cannot begin."""
    from vmpilot.cli._request import run_request

    return run_request(arguments)
