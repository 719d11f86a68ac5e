"""`vmpilot chats`: list, read, search and manage conversations."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_common_options
from vmpilot.cli._parser import Parser


def add_parser(commands: Parser) -> None:
    """The actions on conversations."""
    chats = commands.add_command("chats", description="List, read, search and manage conversations.")

    listing = chats.add_command("list", "List conversations, the most recently used first")
    listing.add_argument("-n", "--limit", type=int, metavar="N", help="Show only the last N")
    listing.add_argument("-a", "--all", action="store_true", help="Include conversations in which every request failed")
    add_common_options(listing)

    _add_with_id(chats, "show", "Show a conversation as a transcript")

    search = chats.add_command("search", "Search in all conversations")
    search.add_argument(
        "words", nargs="+", metavar="WORD", help="Find entries with words that start with each of these"
    )
    add_common_options(search)

    export = _add_with_id(chats, "export", "Write a conversation to standard output")
    export.add_argument(
        "--format", choices=("md", "json", "html"), default="json", help="json can be imported again [default: json]"
    )

    import_ = chats.add_command("import", "Import a conversation that was exported as JSON")
    import_.add_argument("file", metavar="FILE", help="The exported file")
    add_common_options(import_)

    fork = _add_with_id(chats, "fork", "Copy a conversation, to continue it in another direction")
    fork.add_argument("--at", type=int, metavar="N", help="Copy only the first N turns")

    rename = _add_with_id(chats, "rename", "Change the title of a conversation")
    rename.add_argument("words", nargs="+", metavar="TITLE", help="The new title")

    delete = _add_with_id(chats, "delete", "Delete a conversation permanently")
    delete.add_argument("-y", "--yes", action="store_true", help="Do not ask for confirmation")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action. Raises the contract's errors."""
    from vmpilot.cli._chats import ACTIONS
    from vmpilot.cli._log_store import run_with_store

    return run_with_store(ACTIONS[arguments.action], arguments)


def _add_with_id(chats: Parser, name: str, summary: str) -> Parser:
    parser = chats.add_command(name, summary)
    parser.add_argument("id", metavar="ID", help="ID of a conversation, or a prefix of it")
    add_common_options(parser)
    return parser
