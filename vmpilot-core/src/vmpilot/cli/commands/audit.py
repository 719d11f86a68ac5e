"""`vmpilot audit`: every command that was run or denied, and who decided it."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_common_options
from vmpilot.cli._parser import Parser

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    from vmpilot.store import Command, ConversationStore


def add_parser(commands: Parser) -> None:
    """Which commands to show."""
    parser = commands.add_command(
        "audit", description="Show each command that was run or denied, and what allowed or denied it."
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="Show only this conversation")
    parser.add_argument("-n", "--limit", type=int, metavar="N", help="Show only the last N")
    add_common_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a row per command, two lines of it on a terminal. Raises the contract's errors."""
    from vmpilot.cli._log_store import run_with_store

    return run_with_store(_print_commands, arguments)


async def _print_commands(store: ConversationStore, arguments: argparse.Namespace) -> None:
    from vmpilot.cli._log_store import checked_limit, printed_as_json
    from vmpilot.cli._style import printable
    from vmpilot.cli._table import cut, print_table, terminal_width

    commands = await store.audit(conversation_id=arguments.id, limit=checked_limit(arguments))
    if printed_as_json(commands, arguments, empty="No commands yet."):
        return
    width = terminal_width()
    if width is None:
        print_table(map(_row, commands))
        return
    for command in commands:
        time, id_, folder, end, decided_by, shown = map(printable, _row(command))
        print(cut(f"{time}  {end:<11}  {shown}", width))
        print(cut(f"{'':21}{id_}  {decided_by}, in {folder}", width))


def _row(command: Command) -> tuple[str, ...]:
    from vmpilot.cli._table import count, shown_time

    first, *more = command.command.strip("\n").split("\n")
    return (
        shown_time(command.time),
        command.conversation_id,
        command.folder or "-",
        _end(command),
        command.denied_by or command.allowed_by,
        f"{first} (and {count(len(more), 'more line')})" if more else first,
    )


def _end(command: Command) -> str:
    if command.denied_by:
        return "denied"
    if command.interrupted:
        return "interrupted"
    if not command.finished:
        return "unfinished"
    if command.exit_code is None:
        return "failed" if command.is_error else "done"
    return f"exit {command.exit_code}"
