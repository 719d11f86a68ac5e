"""One candidate of a comparison: a backend and a model, its turn on the task, and the outcome."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from vmpilot.app import Agent
from vmpilot.config import Environment
from vmpilot.contract import Event, MessageCompleted, TurnEnded, TurnStarted, Usage, VMPilotError
from vmpilot.lab.comparison._worktree import Worktree
from vmpilot.machine.secrets.shell_environment import child_environment

CHECK_SECONDS = 600.0
"""The time limit for the check command."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend and a model; None means the model of the settings."""

    backend: str
    model: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a candidate's turn.

    `reason` is that of `TurnEnded`; `error` is a sentence if it did not answer. `check_passed` is None without a check,
    `cost` (US dollars) is None if a price is unknown. `folder` is the worktree's.
    """

    backend: str
    model: str
    reason: str
    error: str | None
    answer: str
    files: tuple[str, ...]
    check_passed: bool | None
    steps: int
    usage: Usage
    cost: float | None
    seconds: float
    folder: str
    conversation_id: str | None

    @property
    def succeeded(self) -> bool:
        """Whether it answered and passed the check, if there was one."""
        return self.reason == "answered" and self.check_passed is not False


async def run_candidate(
    candidate: Candidate,
    task: str,
    *,
    worktree: Worktree,
    environment: Environment,
    check: str | None,
    settings: Mapping[str, Any],
    on_event: Callable[[Event], None] = lambda _event: None,
) -> Outcome:
    """Run the task in the worktree, then the check command. Errors are in the outcome."""
    tally = _Tally(candidate.model or "")
    started = time.monotonic()
    # A given model applies to every backend, whatever their own variables say.
    model = dict.fromkeys(("model", "litellm_model", "langchain_model"), candidate.model)
    chosen = {**settings, **model} if candidate.model else dict(settings)
    try:
        agent = Agent(folder=worktree.folder, environment=environment, backend=candidate.backend, **chosen)
        async with agent, aclosing(agent.run(task)) as events:
            async for event in events:
                tally.add(event)
                on_event(event)
    except VMPilotError as error:
        tally.error = str(error)
    seconds = time.monotonic() - started
    return Outcome(
        backend=candidate.backend,
        model=tally.model,
        reason=tally.reason,
        error=tally.error,
        answer=tally.answer,
        files=await worktree.changed_files(),
        check_passed=await run_check(check, worktree.folder, environment) if check is not None else None,
        steps=tally.steps,
        usage=tally.usage,
        cost=tally.cost,
        seconds=seconds,
        folder=str(worktree.folder),
        conversation_id=tally.conversation_id,
    )


class _Tally:
    """Collects the outcome from a turn's events."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.reason = "failed"
        self.error: str | None = None
        self.answer = ""
        self.steps = 0
        self.usage = Usage()
        self.cost: float | None = None
        self.conversation_id: str | None = None

    def add(self, event: Event) -> None:
        match event:
            case TurnStarted():
                self.model, self.conversation_id = event.model, event.conversation_id
            case MessageCompleted():
                self.steps += 1
                self.answer = event.message.text
            case TurnEnded():
                self.reason, self.error = event.reason, event.error
                self.usage, self.cost = event.usage, event.cost
            case _:
                pass


async def run_check(command: str, folder: Path, environment: Environment, *, timeout: float = CHECK_SECONDS) -> bool:
    """Whether the user's command exits with 0 within `timeout` (s); its processes are ended with it."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        cwd=folder,
        env=child_environment(environment.variables),  # without secrets: it may run what the model wrote
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout):
            return await process.wait() == 0
    except TimeoutError:
        return False
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
