"""Helpers for the commands that read the conversation log."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from vmpilot.config import current_environment, load_settings
from vmpilot.contract import UsageError
from vmpilot.store import ConversationStore


def run_with_store(
    act: Callable[[ConversationStore, argparse.Namespace], Awaitable[None]], arguments: argparse.Namespace
) -> int:
    """Open the log that the settings name and act on it; the exit code is 0. Raises the contract's errors."""

    async def run() -> None:
        environment = current_environment()
        settings = load_settings(environment, folder=Path.cwd(), options={}).settings
        store = ConversationStore(environment.data_folder, database_url=settings.database_url)
        try:
            await act(store, arguments)
        finally:
            await store.close()

    asyncio.run(run())
    return 0


def printed_as_json(rows: Sequence[msgspec.Struct], arguments: argparse.Namespace, *, empty: str) -> bool:
    """Whether nothing is left to print: the rows went out as JSON, or standard error says that the list is empty."""
    if arguments.output == "json":
        print(json.dumps(msgspec.to_builtins(list(rows))))
    elif not rows:
        print(f"vmpilot: {empty}", file=sys.stderr)
    return arguments.output == "json" or not rows


def checked_limit(arguments: argparse.Namespace) -> int | None:
    """The value of `--limit`. Raises `UsageError`."""
    limit: int | None = arguments.limit
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1, not {limit}.")
    return limit
