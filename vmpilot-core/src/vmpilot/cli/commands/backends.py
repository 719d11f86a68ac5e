"""`vmpilot backends`: list, check and create backends."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_common_options, add_debug
from vmpilot.cli._parser import Parser


def add_parser(commands: Parser) -> None:
    """The actions on backends."""
    backends = commands.add_command("backends", description="List, check and create backends.")

    listing = backends.add_command("list", "List the installed backends and show which one is used")
    listing.add_argument("--backend", metavar="NAME", help="Show what would be used with this option")
    add_common_options(listing, folder=True)

    check = backends.add_command("check", "Run the conformance tests on a backend; needs no API key and no network")
    check.add_argument("name", metavar="NAME", help="Name of the backend, as in --backend")
    check.add_argument(
        "--level", nargs="+", action="extend", default=[], metavar="LEVEL", help="Levels to test [default: all]"
    )
    check.add_argument("--json", metavar="FILE", help="Write the results as JSON to this file (- for standard output)")
    check.add_argument(
        "--repeat", type=_count, default=1, metavar="N", help="Run each test N times, to find flaky ones"
    )
    check.add_argument(
        "--scripted-model", metavar="MODULE:NAME", help="For backends that do not use an OpenAI-compatible server"
    )
    add_debug(check)

    new = backends.add_command("new", "Create an installable package with a new backend")
    new.add_argument("name", metavar="NAME", help="Name for --backend: a-z, 0-9 and single hyphens")
    new.add_argument("--dir", metavar="DIR", help="Folder to create [default: vmpilot-backend-NAME]")
    add_common_options(new, folder=True)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action. Raises the contract's errors."""
    from vmpilot.cli import _backends

    actions = {"list": _backends.list_backends, "check": _backends.check_backend, "new": _backends.create_backend}
    return actions[arguments.action](arguments)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
