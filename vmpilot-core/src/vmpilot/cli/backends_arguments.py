"""What may be written behind `vmpilot backends`."""

from __future__ import annotations

import argparse


def make_parser(_command: str) -> argparse.ArgumentParser:
    """The parser for what follows the command; `words` becomes the action."""
    parser = argparse.ArgumentParser(
        prog="vmpilot backends", description="The agent engines: those that are here, and your own.", allow_abbrev=False
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _add_list(actions.add_parser("list", help="those that are installed, and which one is used"))
    _add_check(actions.add_parser("check", help="run the conformance suite on one: no key, no network but loopback"))
    _add_new(actions.add_parser("new", help="write an installable package with a backend of your own"))
    for name, action in actions.choices.items():
        action.set_defaults(words=[name])
        action.add_argument("-d", "--debug", action="store_true", help="log what VMPilot does, and tracebacks")
    return parser


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", metavar="NAME", help="as if this one had been asked for")
    _add_place(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
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


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="what --backend is to take: a-z, 0-9 and single hyphens")
    parser.add_argument("--dir", metavar="DIR", help="the folder to write it to (vmpilot-backend-NAME)")
    _add_place(parser)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cwd", metavar="DIR", default=".", help="the folder to work in (this one)")
    parser.add_argument("--output", choices=("text", "json"), default="text")
