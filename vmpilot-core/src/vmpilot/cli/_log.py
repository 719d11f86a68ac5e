"""The commands that look into the conversation log: `chats`, `cost` and `audit`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from vmpilot.cli._streams import print_json
from vmpilot.cli._style import printable
from vmpilot.cli._table import cut, print_table, terminal_width
from vmpilot.cli._terminal import Terminal
from vmpilot.cli._transcript import as_html, as_markdown
from vmpilot.config import current_environment, load_settings
from vmpilot.contract import Usage, UsageError, VMPilotError, encode_event
from vmpilot.store import Chat, Command, ConversationStore, Cost


class Declined(VMPilotError):
    """The user said no."""

    exit_code = 4


LARGEST_IMPORT = 256 * 1024 * 1024
"""Bytes. What is read is in memory several times before it is stored."""


def run_log_command(options: argparse.Namespace) -> int:
    """Carry the command out and return the exit code. Raises the contract's errors."""
    asyncio.run(_run(options))
    return 0


async def _run(options: argparse.Namespace) -> None:
    environment = current_environment()
    settings = load_settings(environment, folder=Path.cwd(), options={}).settings
    store = ConversationStore(environment.data_folder, database_url=settings.database_url)
    try:
        await _ACTIONS[options.action if options.command == "chats" else options.command](store, options)
    finally:
        await store.close()


async def _list(store: ConversationStore, options: argparse.Namespace) -> None:
    chats = await store.list_chats(limit=_limit(options), failed=options.all)
    if not _printed_as_json(chats, options, nothing="there is no conversation yet"):
        print_table(map(_chat_row, chats), right=[2])


async def _show(store: ConversationStore, options: argparse.Namespace) -> None:
    chat, events = await store.chat(options.id), await store.events(options.id)
    if options.output == "json":
        print(
            json.dumps({**msgspec.to_builtins(chat), "events": [json.loads(encode_event(event)) for event in events]})
        )
    else:
        print(printable(as_markdown(chat.title, events)), end="")


async def _search(store: ConversationStore, options: argparse.Namespace) -> None:
    hits = await store.search(" ".join(options.words))
    if not _printed_as_json(hits, options, nothing="nothing is found"):
        print_table((hit.conversation_id, hit.speaker, hit.excerpt) for hit in hits)


async def _export(store: ConversationStore, options: argparse.Namespace) -> None:
    if options.format == "json":
        print_json(await store.export(options.id), end="")
        return
    chat, events = await store.chat(options.id), await store.events(options.id)
    text = (as_html if options.format == "html" else as_markdown)(chat.title, events)
    if options.output == "json":
        print(json.dumps({"id": chat.id, "format": options.format, "text": text}))
    elif sys.stdout.isatty():
        print(printable(text), end="")
    else:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))


async def _import(store: ConversationStore, options: argparse.Namespace) -> None:
    _print_one(await store.import_document(_read(options.file)), options)


async def _fork(store: ConversationStore, options: argparse.Namespace) -> None:
    _print_one(await store.fork(options.id, at=options.at), options)


async def _rename(store: ConversationStore, options: argparse.Namespace) -> None:
    _print_one(await store.rename(options.id, " ".join(options.words)), options)


async def _delete(store: ConversationStore, options: argparse.Namespace) -> None:
    chat = await store.chat(options.id)
    if not options.yes:
        await _confirm(f'Delete "{chat.title}" ({_count(chat.turns, "turn")}) for good?')
    _print_one(await store.delete(chat.id), options, before="deleted: ")


async def _confirm(question: str) -> None:
    """Raises `Declined` for anything but yes, and `UsageError` if there is no terminal to ask at."""
    terminal = Terminal.open()
    if terminal is None:
        raise UsageError("cannot ask for confirmation, because no terminal is attached: add --yes")
    answer = await terminal.ask(printable(f"{question} [y/N] "), withdrawn=asyncio.get_running_loop().create_future())
    if answer.lower() not in {"y", "yes"}:
        raise Declined("Nothing was deleted.")


async def _cost(store: ConversationStore, options: argparse.Namespace) -> None:
    costs = await store.costs(options.by)
    if not _printed_as_json(costs, options, nothing="there is no turn yet"):
        print_table(map(_cost_row, [*costs, *([_total(costs)] if len(costs) > 1 else [])]), right=[1, 3])


async def _audit(store: ConversationStore, options: argparse.Namespace) -> None:
    commands = await store.audit(conversation_id=options.id, limit=_limit(options))
    if _printed_as_json(commands, options, nothing="no command was run yet"):
        return
    width = terminal_width()
    if width is None:
        print_table(map(_command_row, commands))
        return
    for command in commands:
        time, id_, folder, end, allowed_by, shown = map(printable, _command_row(command))
        print(cut(f"{time}  {end:<11}  {shown}", width))
        print(cut(f"{'':21}{id_}  {allowed_by}, in {folder}", width))


_ACTIONS: Mapping[str, Callable[[ConversationStore, argparse.Namespace], Awaitable[None]]] = {
    "list": _list,
    "show": _show,
    "search": _search,
    "export": _export,
    "import": _import,
    "fork": _fork,
    "rename": _rename,
    "delete": _delete,
    "cost": _cost,
    "audit": _audit,
}


def _printed_as_json(rows: Sequence[msgspec.Struct], options: argparse.Namespace, *, nothing: str) -> bool:
    """Whether there is nothing left to print; that there are no rows is said on standard error."""
    if options.output == "json":
        print(json.dumps(msgspec.to_builtins(list(rows))))
    elif not rows:
        print(f"vmpilot: {nothing}", file=sys.stderr)
    return options.output == "json" or not rows


def _print_one(chat: Chat, options: argparse.Namespace, *, before: str = "") -> None:
    if options.output == "json":
        print(json.dumps(msgspec.to_builtins(chat)))
    else:
        id_, *rest = _chat_row(chat)
        print_table([(before + id_, *rest)])


def _chat_row(chat: Chat) -> tuple[str, ...]:
    return chat.id, shown_time(chat.touched)[:-3], _count(chat.turns, "turn"), chat.title


def _cost_row(cost: Cost) -> tuple[str, ...]:
    known = cost.unpriced < cost.turns
    unknown = f"+ {_count(cost.unpriced, 'turn')} of unknown price" if cost.unpriced and known else ""
    tokens = f"{cost.usage.input_tokens:,} tokens in, {cost.usage.output_tokens:,} out"
    return (
        cost.key,
        f"${cost.cost:,.4f}" if known else "price unknown",
        unknown,
        _count(cost.turns, "turn"),
        f"{cost.title} ({tokens})" if cost.title else tokens,
    )


def _total(costs: Sequence[Cost]) -> Cost:
    return Cost(
        key="total",
        title="",
        turns=sum(cost.turns for cost in costs),
        usage=sum((cost.usage for cost in costs), Usage()),
        cost=sum(cost.cost for cost in costs),
        unpriced=sum(cost.unpriced for cost in costs),
    )


def _command_row(command: Command) -> tuple[str, ...]:
    first, *more = command.command.strip("\n").split("\n")
    return (
        shown_time(command.time),
        command.conversation_id,
        command.folder or "-",
        _end(command),
        command.denied_by or command.allowed_by,
        f"{first} (and {_count(len(more), 'more line')})" if more else first,
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


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"


def shown_time(seconds: float) -> str:
    """Seconds since the epoch as local time, to the second."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _limit(options: argparse.Namespace) -> int | None:
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit takes a number above 0, not {options.limit}")
    limit: int | None = options.limit
    return limit


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(LARGEST_IMPORT + 1)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    if len(data) > LARGEST_IMPORT:
        raise UsageError(f"{file} is larger than the {LARGEST_IMPORT >> 20} MiB that an import may have")
    return data
