"""What may be written behind `vmpilot backends`."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_debug, add_folder, add_format
from vmpilot.cli._parser import Parser


def fill_backends(backends: Parser) -> None:
    """The actions of `vmpilot backends`."""
    backends.add_command(
        "list", "the installed backends, and which one is used", _fill_list, run=("backends", "list_backends")
    )
    backends.add_command(
        "check",
        "run the conformance suite on one: no key, no network but loopback",
        _fill_check,
        run=("backends", "check_backend"),
    )
    backends.add_command(
        "new",
        "write an installable package with a new backend",
        _fill_new,
        run=("backends_new", "write_backend"),
    )


def _fill_list(parser: Parser) -> None:
    parser.add_argument("--backend", metavar="NAME", help="as if this one had been asked for")
    add_folder(parser)
    add_format(parser)
    add_debug(parser)


def _fill_check(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the backend, as --backend takes it")
    parser.add_argument(
        "--level", nargs="+", action="extend", default=[], metavar="LEVEL", help="such as tools; all if left out"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results for machines; - is standard output")
    parser.add_argument(
        "--repeat", type=_count, default=1, metavar="N", help="run each case N times, to find flaky ones"
    )
    parser.add_argument(
        "--scripted-model", metavar="MODULE:NAME", help="for a backend that asks no OpenAI-compatible server"
    )
    add_debug(parser)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _fill_new(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="what --backend is to take: a-z, 0-9 and single hyphens")
    parser.add_argument("--dir", metavar="DIR", help="the folder to write it to (vmpilot-backend-NAME)")
    add_folder(parser)
    add_format(parser)
    add_debug(parser)
