"""Runs the candidates of `vmpilot compare` and prints a table of the results."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from vmpilot.cli._style import printable
from vmpilot.cli._table import print_table
from vmpilot.config import current_environment, take_environment
from vmpilot.contract import Event, Retrying, ToolStarted, UsageError
from vmpilot.lab.comparison import Candidate, Outcome, open_worktree, run_candidate
from vmpilot.plugins import choose_backend, installed_backends

_SETTINGS = ("base_url", "temperature", "mode", "max_steps", "max_cost", "max_seconds")


def run_compare(arguments: argparse.Namespace) -> int:
    """Run the comparison and print its table; if it is interrupted, the part that is done."""
    folder = Path(arguments.cwd).resolve()
    if not folder.is_dir():
        raise UsageError(f"No such folder: {arguments.cwd}")
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        asyncio.run(_run(arguments, outcomes, folder))
    except (KeyboardInterrupt, asyncio.CancelledError):
        interrupted = True
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(outcomes)))
    elif outcomes:
        _print_outcomes(outcomes, keep=arguments.keep)
    if interrupted:
        return 130
    return 0 if all(outcome.succeeded for outcome in outcomes) else 1


async def _run(arguments: argparse.Namespace, outcomes: list[Outcome], folder: Path) -> None:
    main = asyncio.current_task()
    assert main is not None, "called from a coroutine"  # noqa: S101
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # so that the folders are removed first
        asyncio.get_running_loop().add_signal_handler(number, main.cancel)
    environment = take_environment() if arguments.owns_process else current_environment()
    candidates = _candidates(arguments)
    for position, candidate in enumerate(candidates, 1):
        name = ", ".join(filter(None, (candidate.backend, candidate.model)))
        print(f"{position} of {len(candidates)}: {name}", file=sys.stderr, flush=True)
        async with open_worktree(folder, keep=arguments.keep) as worktree:
            outcome = await run_candidate(
                candidate,
                " ".join(arguments.words),
                worktree=worktree,
                environment=environment,
                check=arguments.check,
                settings={name: getattr(arguments, name) for name in _SETTINGS},
                on_event=_print_progress,
            )
        outcomes.append(outcome)


def _print_progress(event: Event) -> None:
    match event:
        case ToolStarted():
            print(printable(f"  {event.title.splitlines()[0]}"), file=sys.stderr, flush=True)
        case Retrying():
            print(printable(f"  {event.why}; retrying in {event.delay:.1f} s"), file=sys.stderr, flush=True)
        case _:
            pass


def _candidates(arguments: argparse.Namespace) -> list[Candidate]:
    """Each backend with each model. Raises `BackendError` if one is not installed."""
    installed = installed_backends()
    names = _listed(arguments.backends) or sorted({backend.name for backend in installed})
    for name in names:
        choose_backend(installed, name, asked_by="--backends")
    if not names:
        choose_backend(installed, None)  # raises: no backend is installed
    models: list[str | None] = [*_listed(arguments.models)] or [None]
    return [Candidate(name, model) for name in names for model in models]


def _listed(words: str | None) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in (words or "").split(",") if word.strip()))


def _print_outcomes(outcomes: Sequence[Outcome], *, keep: bool) -> None:
    has_check = any(outcome.check_passed is not None for outcome in outcomes)
    heads = ("backend", "model", "result", "check" if has_check else "", "steps", "tokens", "cost", "time", "files")
    print_table([heads, *map(_row, outcomes)], right=[4, 5, 6, 7])
    for outcome in outcomes:
        if outcome.error is not None:
            print(printable(f"{outcome.backend}, {outcome.model}: {outcome.error}"), file=sys.stderr)
        if keep:
            print(printable(f"{outcome.backend}, {outcome.model}: kept in {outcome.folder}"), file=sys.stderr)


def _row(outcome: Outcome) -> tuple[str, ...]:
    files = outcome.files
    return (
        outcome.backend,
        outcome.model,
        outcome.reason,
        {True: "passed", False: "failed", None: ""}[outcome.check_passed],
        str(outcome.steps),
        f"{outcome.usage.input_tokens + outcome.usage.output_tokens:,}",
        "unknown" if outcome.cost is None else f"${outcome.cost:.4f}",
        f"{outcome.seconds:.1f} s",
        f"{len(files)}: {', '.join(files[:3])}{', …' if len(files) > 3 else ''}" if files else "none",
    )
