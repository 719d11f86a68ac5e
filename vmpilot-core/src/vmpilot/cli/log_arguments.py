"""What may be written behind `vmpilot chats`, `vmpilot cost` and `vmpilot audit`."""

from __future__ import annotations

import argparse


def make_parser(command: str) -> argparse.ArgumentParser:
    """The parser for one of the commands that look into the conversation log."""
    return {"chats": _chats_parser, "cost": _cost_parser, "audit": _audit_parser}[command]()


def _chats_parser() -> argparse.ArgumentParser:
    parser = _parser("chats", "The conversations: list, read, search, copy, rename and delete them.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all, the one that was used last first")
    listing.add_argument("-n", "--limit", type=int, metavar="N", help="the last N only")
    listing.add_argument("-a", "--all", action="store_true", help="also those where every request failed")
    _add_id(actions.add_parser("show", help="one, as a transcript"))
    search = actions.add_parser("search", help="entries in which each of the words begins a word")
    search.add_argument("words", nargs="+", metavar="WORD")
    export = actions.add_parser("export", help="one, to standard output")
    _add_id(export)
    export.add_argument("--format", choices=("md", "json", "html"), default="json", help="json is what import takes")
    actions.add_parser("import", help="store what export --format json gave").add_argument("file", metavar="FILE")
    fork = actions.add_parser("fork", help="a copy to go on with in another way")
    _add_id(fork)
    fork.add_argument("--at", type=int, metavar="N", help="only the first N turns")
    rename = actions.add_parser("rename", help="give one another title")
    _add_id(rename)
    rename.add_argument("words", nargs="+", metavar="TITLE")
    delete = actions.add_parser("delete", help="delete one for good")
    _add_id(delete)
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")
    for action in actions.choices.values():
        _add_common(action)
    return parser


def _cost_parser() -> argparse.ArgumentParser:
    parser = _parser("cost", "What the model calls cost, as far as prices are known.")
    parser.add_argument("--by", choices=("day", "model", "conversation"), default="day")
    _add_common(parser)
    return parser


def _audit_parser() -> argparse.ArgumentParser:
    parser = _parser("audit", "Each command that was run or denied: when, where, how it ended, and by whom.")
    parser.add_argument("id", nargs="?", metavar="ID", help="of one conversation only")
    parser.add_argument("-n", "--limit", type=int, metavar="N", help="the last N only")
    _add_common(parser)
    return parser


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"vmpilot {command}", description=description, allow_abbrev=False)


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="a conversation's id, or its beginning")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("-d", "--debug", action="store_true", help="log what VMPilot does, and tracebacks")
