"""One request: the words and standard input in, events to the screen, the turn's exit code out."""

from __future__ import annotations

import argparse
import asyncio
import signal
import stat
import sys
from collections.abc import Mapping
from contextlib import aclosing
from os import fstat
from threading import Timer

from vmpilot.assembly import Agent
from vmpilot.cli.console import Console
from vmpilot.cli.consumption import shown_limits
from vmpilot.cli.machine import JsonLines, JsonObject
from vmpilot.cli.terminal import Terminal
from vmpilot.contract import TurnEnded, UsageError

_OPTIONS: Mapping[str, str] = {
    "backend": "--backend",
    "model": "--model",
    "fallback": "--fallback",
    "base_url": "--base-url",
    "temperature": "--temperature",
    "streaming": "--no-stream",
    "tool_mode": "--tool-mode",
    "cache": "--cache",
    "mode": "--mode",
    "max_steps": "--max-steps",
    "max_cost": "--max-cost",
    "max_seconds": "--max-seconds",
    "max_total_tokens": "--max-total-tokens",
}

COMPACT = "/compact"
"""A request that is this word, and nothing else, has the conversation compacted."""


def run_request(options: argparse.Namespace) -> int:
    """Run the request and return the exit code. Raises the contract's errors where it cannot begin."""
    request = _request(options.words)
    try:
        return asyncio.run(_run(options, request))
    except asyncio.CancelledError:  # a signal, while no turn was there to be interrupted
        raise KeyboardInterrupt from None


async def _run(options: argparse.Namespace, request: str) -> int:
    terminal = Terminal.open()
    given = {name: getattr(options, name) for name in _OPTIONS}
    if options.model is not None:
        # An option is meant for this request, whatever the backend's own variables say.
        given |= {"litellm_model": options.model, "langchain_model": options.model}
    agent = Agent(folder=options.cwd, conversation=options.resume, record=options.record, origins=_OPTIONS, **given)
    settings = agent.settings
    console = Console(
        terminal,
        verbose=options.verbose,
        output_lines=settings.tool_output_lines,
        limits=shown_limits(settings),
    )
    agent.progress = console.progress
    agent.approver = console.approve if terminal is not None else None
    console.keep_rules = agent.keep_rules
    for remark in agent.remarks:
        print(f"vmpilot: {remark}", file=sys.stderr)
    async with agent:
        _stop_on_signals(agent)
        if options.latest:
            await agent.go_on_with_latest()
        if options.fork:
            await agent.go_on_with_fork()
        exit_code = await _show(agent, request, console, options.output)
        if agent.tape_problem is not None:
            print(f"vmpilot: {agent.tape_problem}", file=sys.stderr)
        return exit_code


async def _show(agent: Agent, request: str, console: Console, output: str) -> int:
    view: Console | JsonObject | JsonLines = console
    if output != "text":
        view = JsonObject(console) if output == "json" else JsonLines(console)
    exit_code = 1
    async with aclosing(agent.compact() if request.strip() == COMPACT else agent.run(request)) as events:
        async for event in events:
            await view.show(event)
            if isinstance(event, TurnEnded):
                exit_code = event.exit_code
    return exit_code


def _stop_on_signals(agent: Agent) -> None:
    """The first signal interrupts the turn and lets it end properly; the next one, or one without a turn, is final."""
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


def _request(words: list[str]) -> str:
    parts = [" ".join(words).strip(), _standard_input().strip("\n")]
    request = "\n\n".join(part for part in parts if part.strip())
    if not request:
        raise UsageError('the request is empty: write `vmpilot "what is to be done"`, or see `vmpilot --help`')
    return request


def _standard_input() -> str:
    """What is piped or redirected in; a terminal or /dev/null is not read."""
    if sys.stdin is None or sys.stdin.closed or stat.S_ISCHR(fstat(sys.stdin.fileno()).st_mode):
        return ""
    hint = "vmpilot: reading standard input until it ends (leave it out with < /dev/null)"
    timer = Timer(2.0, lambda: print(hint, file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    finally:
        timer.cancel()
