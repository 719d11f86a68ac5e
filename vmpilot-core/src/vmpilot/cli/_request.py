"""Runs one request: reads the words and standard input, shows the events, returns the turn's exit code."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from vmpilot.app import Agent
from vmpilot.cli._console import Console
from vmpilot.cli._debug_log import mask_with
from vmpilot.cli._json_output import JsonLines, JsonObject
from vmpilot.cli._options import agent_settings
from vmpilot.cli._standard_input import read_standard_input
from vmpilot.cli._style import printable
from vmpilot.cli._terminal import Terminal
from vmpilot.config import current_environment, take_environment
from vmpilot.contract import Event, TurnEnded, UsageError

COMPACT = "/compact"
"""A request that consists of this word compacts the conversation."""

_SLASH_WORD = re.compile(r"/[\w-]*")


def run_request(arguments: argparse.Namespace) -> int:
    """Run the request and return the exit code. Raises the contract's errors if it cannot begin."""
    request = _request(arguments.words)
    compacts = not arguments.literal and _is_compact(request)
    try:
        return asyncio.run(_run(arguments, request, compacts=compacts))
    except asyncio.CancelledError:  # a signal without a turn to interrupt
        raise KeyboardInterrupt from None


async def _run(arguments: argparse.Namespace, request: str, *, compacts: bool) -> int:
    terminal = Terminal.open()
    environment = take_environment() if arguments.owns_process else current_environment()
    agent = Agent(
        folder=arguments.cwd,
        environment=environment,
        conversation=arguments.resume,
        record=arguments.record,
        **agent_settings(arguments),
    )
    mask_with(agent.mask)
    console = Console(terminal, verbose=arguments.verbose, settings=agent.settings)
    agent.progress = console.progress
    agent.approver = console.approve if terminal is not None else None
    console.save_rules = agent.save_rules
    for remark in agent.remarks:
        print(f"vmpilot: {remark}", file=sys.stderr)
    async with agent:
        _stop_on_signals(agent)
        if arguments.latest:
            await agent.resume_latest()
        if arguments.fork:
            await agent.resume_fork()
        events = agent.compact() if compacts else agent.run(request)
        exit_code = await _show(events, console, arguments.output)
        for note in agent.job_notes:
            print(printable(f"vmpilot: {note}"), file=sys.stderr)
        if agent.recording_problem is not None:
            print(f"vmpilot: {agent.recording_problem}", file=sys.stderr)
        return exit_code


async def _show(turn: AsyncGenerator[Event, None], console: Console, output: str) -> int:
    view: Console | JsonObject | JsonLines = console
    if output != "text":
        view = JsonObject(console) if output == "json" else JsonLines(console)
    exit_code = 1
    async with aclosing(turn) as events:
        async for event in events:
            await view.show(event)
            if isinstance(event, TurnEnded):
                exit_code = event.exit_code
    return exit_code


def _stop_on_signals(agent: Agent) -> None:
    """The first signal interrupts the turn and lets it end cleanly; the next one, or one without a turn, is final."""
    main = asyncio.current_task()
    assert main is not None, "called from a coroutine"  # noqa: S101
    asked = False

    def stop() -> None:
        nonlocal asked
        if asked or not agent.stop():
            main.cancel()
        asked = True

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, stop)


def _is_compact(request: str) -> bool:
    """Whether it is `COMPACT`. Raises `UsageError` if it starts with another word that looks like a command.

    `/tmp is full, why?` is a request, because that path exists; so is one that starts with `/etc/fstab`.
    """
    first, *rest = request.split(maxsplit=1)
    if first == COMPACT and not rest:
        return True
    if not _SLASH_WORD.fullmatch(first) or Path(first).exists():
        return False
    hint = "To send it as a request, put -- before it."
    if first == COMPACT:
        raise UsageError(f"{COMPACT} takes no text. {hint}")
    raise UsageError(f"Unknown command {first:.40}; the only one is {COMPACT}. {hint}")


def _request(words: list[str]) -> str:
    typed = " ".join(words)
    parts = [typed, read_standard_input(is_request=not typed.strip()).strip("\n")]
    request = "\n\n".join(part for part in parts if part.strip())
    if not request:
        raise UsageError('Nothing to do. Try `vmpilot "find what fills this disk"`, or `vmpilot --help`.')
    return request
