"""The commands that look into the conversation log: `chats`, `cost` and `audit`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from vmpilot.cli.style import printable
from vmpilot.cli.transcript import as_html, as_markdown
from vmpilot.config import current_environment, load_settings
from vmpilot.contract import UsageError, encode_event
from vmpilot.store import Chat, Command, ConversationStore, Cost


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
    _print_all(await store.list_chats(limit=_limit(options)), options, _chat_line)


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
    _print_all(hits, options, lambda hit: f"{hit.conversation_id}  {hit.speaker:<9}  {hit.excerpt}")


async def _export(store: ConversationStore, options: argparse.Namespace) -> None:
    if options.format == "json":
        print(await store.export(options.id))
        return
    chat, events = await store.chat(options.id), await store.events(options.id)
    render = as_html if options.format == "html" else as_markdown
    sys.stdout.buffer.write(render(chat.title, events).encode("utf-8", "replace"))


async def _import(store: ConversationStore, options: argparse.Namespace) -> None:
    _print_one(await store.import_document(_read(options.file)), options)


async def _fork(store: ConversationStore, options: argparse.Namespace) -> None:
    _print_one(await store.fork(options.id, at=options.at), options)


async def _rename(store: ConversationStore, options: argparse.Namespace) -> None:
    _print_one(await store.rename(options.id, " ".join(options.words)), options)


async def _delete(store: ConversationStore, options: argparse.Namespace) -> None:
    chat = await store.delete(options.id)
    _print_one(chat, options, before="deleted: ")


async def _cost(store: ConversationStore, options: argparse.Namespace) -> None:
    _print_all(await store.costs(options.by), options, _cost_line)


async def _audit(store: ConversationStore, options: argparse.Namespace) -> None:
    commands = await store.audit(conversation_id=options.id, limit=_limit(options))
    _print_all(commands, options, _command_line)


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


def _print_all(rows: Iterable[Any], options: argparse.Namespace, line: Callable[[Any], str]) -> None:
    if options.output == "json":
        print(json.dumps(msgspec.to_builtins(list(rows))))
        return
    for row in rows:
        print(printable(line(row)))


def _print_one(chat: Chat, options: argparse.Namespace, *, before: str = "") -> None:
    print(json.dumps(msgspec.to_builtins(chat)) if options.output == "json" else printable(before + _chat_line(chat)))


def _chat_line(chat: Chat) -> str:
    return f"{chat.id}  {_time(chat.touched)}  {chat.turns:>3} turns  {chat.title}"


def _cost_line(cost: Cost) -> str:
    unknown = f" + {cost.unpriced} turns of unknown price" if cost.unpriced else ""
    tokens = f"{cost.usage.input_tokens:,} tokens in, {cost.usage.output_tokens:,} out"
    return f"{cost.key}  ${cost.cost:.4f}{unknown}  {tokens}  {cost.turns} turns  {cost.title}".rstrip()


def _command_line(command: Command) -> str:
    end = "unfinished" if not command.finished else f"exit {command.exit_code}"
    first, *more = command.command.split("\n")
    shown = f"{first} (and {len(more)} more lines)" if more else first
    return (
        f"{_time(command.time)}  {command.conversation_id}  {command.folder or '-'}  {end:<10}  "
        f"{command.allowed_by}  {shown}"
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _limit(options: argparse.Namespace) -> int | None:
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit takes a number above 0, not {options.limit}")
    limit: int | None = options.limit
    return limit


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
