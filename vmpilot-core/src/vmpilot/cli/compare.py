"""`vmpilot compare`: one task by several backends and models, each in a folder of its own, and a table of what came."""

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
from vmpilot.config import Environment, current_environment, take_environment
from vmpilot.contract import Event, Retrying, ToolStarted, UsageError
from vmpilot.lab.comparison import Candidate, Outcome, open_worktree, run_candidate
from vmpilot.plugins import choose_backend, installed_backends

_SETTINGS = ("base_url", "temperature", "mode", "max_steps", "max_cost", "max_seconds")


def run_compare(options: argparse.Namespace) -> int:
    """Run the comparison and print its table, also of as much as there is when it is interrupted."""
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        asyncio.run(_run(options, outcomes))
    except (KeyboardInterrupt, asyncio.CancelledError):
        interrupted = True
    if options.json:
        print(json.dumps(msgspec.to_builtins(outcomes)))
    elif outcomes:
        _print_outcomes(outcomes, keep=options.keep)
    if interrupted:
        return 130
    return 0 if all(outcome.succeeded for outcome in outcomes) else 1


async def _run(options: argparse.Namespace, outcomes: list[Outcome]) -> None:
    _cancel_on_signals()
    environment = take_environment() if options.owns_process else current_environment()
    folder = _folder(options.cwd)
    entrants = _entrants(options)
    for number, entrant in enumerate(entrants, 1):
        print(f"{number} of {len(entrants)}: {_name(entrant)}", file=sys.stderr, flush=True)
        outcomes.append(await _play(entrant, options, folder, environment))


async def _play(entrant: Candidate, options: argparse.Namespace, folder: Path, environment: Environment) -> Outcome:
    settings = {name: getattr(options, name) for name in _SETTINGS}
    task = " ".join(options.words)
    async with open_worktree(folder, keep=options.keep) as place:
        return await run_candidate(
            entrant,
            task,
            worktree=place,
            environment=environment,
            check=options.check,
            settings=settings,
            on_event=_tell,
        )


def _tell(event: Event) -> None:
    """Signs of life on standard error."""
    match event:
        case ToolStarted():
            print(printable(f"  {event.title.splitlines()[0]}"), file=sys.stderr, flush=True)
        case Retrying():
            print(printable(f"  {event.why}; trying again in {event.delay:.1f} s"), file=sys.stderr, flush=True)
        case _:
            pass


def _entrants(options: argparse.Namespace) -> list[Candidate]:
    """Each backend with each model. Raises `BackendError` where one is not installed."""
    installed = installed_backends()
    names = _listed(options.backends) or sorted({backend.name for backend in installed})
    for name in names:
        choose_backend(installed, name, asked_by="--backends")
    models: list[str | None] = [*_listed(options.models)] or [None]
    entrants = [Candidate(name, model) for name in names for model in models]
    if not entrants:
        choose_backend(installed, None)  # which says that there is none
    return entrants


def _folder(named: str) -> Path:
    folder = Path(named).resolve()
    if not folder.is_dir():
        raise UsageError(f"there is no folder {named}: name another with --cwd")
    return folder


def _listed(words: str | None) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in (words or "").split(",") if word.strip()))


def _name(entrant: Candidate) -> str:
    return entrant.backend if entrant.model is None else f"{entrant.backend}, {entrant.model}"


def _print_outcomes(outcomes: Sequence[Outcome], *, keep: bool) -> None:
    has_check = any(outcome.check_passed is not None for outcome in outcomes)
    heads = ("backend", "model", "result", "check" if has_check else "", "steps", "tokens", "cost", "time", "files")
    print_table([heads, *map(_row, outcomes)], right=[4, 5, 6, 7])
    for outcome in outcomes:
        if outcome.error is not None:
            print(printable(f"{outcome.backend}, {outcome.model}: {outcome.error}"), file=sys.stderr)
        if keep:
            print(printable(f"{outcome.backend}, {outcome.model}: worked in {outcome.folder}"), file=sys.stderr)


def _row(outcome: Outcome) -> tuple[str, ...]:
    tokens = outcome.usage.input_tokens + outcome.usage.output_tokens
    return (
        outcome.backend,
        outcome.model,
        outcome.reason,
        {True: "passed", False: "failed", None: ""}[outcome.check_passed],
        str(outcome.steps),
        f"{tokens:,}",
        "unknown" if outcome.cost is None else f"${outcome.cost:.4f}",
        f"{outcome.seconds:.1f} s",
        _few(outcome.files),
    )


def _few(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return f"{len(names)}: {shown}{', …' if len(names) > most else ''}" if names else "none"


def _cancel_on_signals() -> None:
    """Whatever ends the program lets it remove the folders first."""
    main = asyncio.current_task()
    assert main is not None, "called from a coroutine"  # noqa: S101
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, main.cancel)
