"""What may be written behind `vmpilot chats`, `vmpilot cost` and `vmpilot audit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vmpilot.cli._options import add_debug, add_format
from vmpilot.cli._parser import Parser

_RUN = ("_log", "run_log_command")


def fill_chats(chats: Parser) -> None:
    """The actions of `vmpilot chats`."""
    for name, (summary, fill) in _CHATS.items():
        chats.add_command(name, summary, fill, run=_RUN)


def _fill_list(parser: Parser) -> None:
    _add_limit(parser)
    parser.add_argument("-a", "--all", action="store_true", help="also those where every request failed")
    _add_common(parser)


def _fill_with_id(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="a conversation's id, or its beginning")
    _add_common(parser)


def _fill_search(parser: Parser) -> None:
    parser.add_argument("words", nargs="+", metavar="WORD")
    _add_common(parser)


def _fill_export(parser: Parser) -> None:
    _fill_with_id(parser)
    parser.add_argument("--format", choices=("md", "json", "html"), default="json", help="json is what import takes")


def _fill_import(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE")
    _add_common(parser)


def _fill_fork(parser: Parser) -> None:
    _fill_with_id(parser)
    parser.add_argument("--at", type=int, metavar="N", help="only the first N turns")


def _fill_delete(parser: Parser) -> None:
    _fill_with_id(parser)
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")


def _fill_rename(parser: Parser) -> None:
    _fill_with_id(parser)
    parser.add_argument("words", nargs="+", metavar="TITLE")


_CHATS: Mapping[str, tuple[str, Callable[[Parser], None]]] = {
    "list": ("all, the one that was used last first", _fill_list),
    "show": ("one, as a transcript", _fill_with_id),
    "search": ("entries in which each of the words begins a word", _fill_search),
    "export": ("one, to standard output", _fill_export),
    "import": ("store what export --format json gave", _fill_import),
    "fork": ("a copy to go on with in another way", _fill_fork),
    "rename": ("give one another title", _fill_rename),
    "delete": ("delete one for good", _fill_delete),
}


def fill_cost(parser: Parser) -> None:
    """The options of `vmpilot cost`."""
    parser.add_argument("--by", choices=("day", "model", "conversation"), default="day")
    _add_common(parser)


def fill_audit(parser: Parser) -> None:
    """The options of `vmpilot audit`."""
    parser.add_argument("id", nargs="?", metavar="ID", help="of one conversation only")
    _add_limit(parser)
    _add_common(parser)


def _add_limit(parser: Parser) -> None:
    parser.add_argument("-n", "--limit", type=int, metavar="N", help="the last N only")


def _add_common(parser: Parser) -> None:
    add_format(parser)
    add_debug(parser)
