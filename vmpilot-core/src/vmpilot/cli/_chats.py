"""The actions of `vmpilot chats`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from vmpilot.cli._log_store import checked_limit, printed_as_json
from vmpilot.cli._streams import print_json
from vmpilot.cli._style import printable
from vmpilot.cli._table import count, print_table, shown_time
from vmpilot.cli._terminal import Terminal
from vmpilot.cli._transcript import as_html, as_markdown
from vmpilot.contract import UsageError, VMPilotError, encode_event
from vmpilot.store import Chat, ConversationStore

LARGEST_IMPORT = 256 * 1024 * 1024
"""Bytes. What is read is in memory several times before it is stored."""


class Declined(VMPilotError):
    """The user said no."""

    exit_code = 4


async def _list(store: ConversationStore, arguments: argparse.Namespace) -> None:
    chats = await store.list_chats(limit=checked_limit(arguments), failed=arguments.all)
    if not printed_as_json(chats, arguments, empty="No conversations yet."):
        print_table(map(_row, chats), right=[2])


async def _show(store: ConversationStore, arguments: argparse.Namespace) -> None:
    chat, events = await store.chat(arguments.id), await store.events(arguments.id)
    if arguments.output == "json":
        shown = {**msgspec.to_builtins(chat), "events": [json.loads(encode_event(event)) for event in events]}
        print(json.dumps(shown))
    else:
        print(printable(as_markdown(chat.title, events)), end="")


async def _search(store: ConversationStore, arguments: argparse.Namespace) -> None:
    hits = await store.search(" ".join(arguments.words))
    if not printed_as_json(hits, arguments, empty="No matches."):
        print_table((hit.conversation_id, hit.speaker, hit.excerpt) for hit in hits)


async def _export(store: ConversationStore, arguments: argparse.Namespace) -> None:
    if arguments.format == "json":
        print_json(await store.export(arguments.id), end="")
        return
    chat, events = await store.chat(arguments.id), await store.events(arguments.id)
    text = (as_html if arguments.format == "html" else as_markdown)(chat.title, events)
    if arguments.output == "json":
        print(json.dumps({"id": chat.id, "format": arguments.format, "text": text}))
    elif sys.stdout.isatty():
        print(printable(text), end="")
    else:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))


async def _import(store: ConversationStore, arguments: argparse.Namespace) -> None:
    _print_chat(await store.import_document(_read(arguments.file)), arguments)


async def _fork(store: ConversationStore, arguments: argparse.Namespace) -> None:
    _print_chat(await store.fork(arguments.id, at=arguments.at), arguments)


async def _rename(store: ConversationStore, arguments: argparse.Namespace) -> None:
    _print_chat(await store.rename(arguments.id, " ".join(arguments.words)), arguments)


async def _delete(store: ConversationStore, arguments: argparse.Namespace) -> None:
    chat = await store.chat(arguments.id)
    if not arguments.yes:
        await _confirm(f'Permanently delete "{chat.title}" ({count(chat.turns, "turn")})?')
    _print_chat(await store.delete(chat.id), arguments, before="Deleted ")


async def _confirm(question: str) -> None:
    """Raises `Declined` for anything but yes, and `UsageError` if there is no terminal to ask at."""
    terminal = Terminal.open()
    if terminal is None:
        raise UsageError("Cannot ask for confirmation: no terminal is attached. Add --yes.")
    answer = await terminal.ask(printable(f"{question} [y/N] "), withdrawn=asyncio.get_running_loop().create_future())
    if answer.lower() not in {"y", "yes"}:
        raise Declined("Nothing was deleted.")


ACTIONS: Mapping[str, Callable[[ConversationStore, argparse.Namespace], Awaitable[None]]] = {
    "list": _list,
    "show": _show,
    "search": _search,
    "export": _export,
    "import": _import,
    "fork": _fork,
    "rename": _rename,
    "delete": _delete,
}


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(LARGEST_IMPORT + 1)
    except OSError as error:
        raise UsageError(f"Cannot read {file}: {error.strerror}") from error
    if len(data) > LARGEST_IMPORT:
        raise UsageError(f"{file} is larger than {LARGEST_IMPORT >> 20} MiB, the limit for an import")
    return data


def _print_chat(chat: Chat, arguments: argparse.Namespace, *, before: str = "") -> None:
    if arguments.output == "json":
        print(json.dumps(msgspec.to_builtins(chat)))
    else:
        id_, *rest = _row(chat)
        print_table([(before + id_, *rest)])


def _row(chat: Chat) -> tuple[str, ...]:
    return chat.id, shown_time(chat.touched)[:-3], count(chat.turns, "turn"), chat.title
