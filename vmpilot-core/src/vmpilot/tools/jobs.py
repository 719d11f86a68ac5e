"""The background commands of one conversation. They end with it, except those that are kept."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from vmpilot.contract import ToolError
from vmpilot.machine.processes.process import Confine
from vmpilot.machine.processes.shell_launch import prepare_launch
from vmpilot.machine.processes.supervisor import KeptStart, Supervisor
from vmpilot.machine.secrets.masking import Masker
from vmpilot.tools._job import Job, describe
from vmpilot.tools.kept_jobs import KeptJob, KeptJobs

_MOST_RUNNING = 16
_MOST_REMEMBERED = 32
_LONGEST_NAME = 100


class Jobs:
    """Starts jobs, finds them by number, lists those that have ended; `close` ends them."""

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        masker: Masker,
        outputs: Path | None,
        kept: KeptJobs | None = None,
        conversation: str = "",
    ) -> None:
        self._supervisor = supervisor
        self._masker = masker
        self._outputs = outputs
        self._kept = kept
        self._conversation = conversation
        self._earlier: dict[int, KeptJob] = {}
        self._jobs: dict[int, Job] = {}
        self._last = 0

    def start(
        self,
        command: str,
        *,
        folder: Path,
        environment: Mapping[str, str],
        confine: Confine | None = None,
        timeout: float | None = None,
        keep: bool = False,
    ) -> Job:
        """Start `command` as `run_command` does, but with a standard input to write to; do not wait for it.

        Raises `ToolError` if too many jobs run, and what `run_command` raises. If the shell cannot be started,
        `Job.problem` says so a moment later. A job that is kept outlives VMPilot.
        """
        self._check_room()
        record = None
        if keep:
            if self._kept is None:
                raise ToolError("Not run: jobs cannot be kept here.")
            record = self._kept.begin(self._masker.mask(command), conversation=self._conversation)
        try:
            job = self._start(command, folder, environment, confine=confine, timeout=timeout, record=record)
        except BaseException:
            if self._kept is not None and record is not None:
                self._kept.forget(record)
            raise
        self._jobs[job.number] = job
        return job

    def _start(
        self,
        command: str,
        folder: Path,
        environment: Mapping[str, str],
        *,
        confine: Confine | None,
        timeout: float | None,
        record: KeptJob | None,
    ) -> Job:
        with ExitStack() as resources:
            launch = prepare_launch(command, environment, resources=resources)
            if confine is not None:
                launch = confine(launch, resources)
            reading, writing = os.pipe()
            input_reading, input_writing = os.pipe()
            secrets = tuple(value for value in self._masker.values if "\0" not in value)
            try:
                supervised = self._supervisor.start(
                    launch,
                    folder=folder,
                    environment={**environment, **launch.variables},
                    streams=(input_reading, writing, writing),
                    kept=None if record is None else KeptStart(record.folder, reading, timeout, secrets),
                )
            except BaseException:
                os.close(reading)
                os.close(input_writing)
                raise
            finally:
                os.close(writing)
                os.close(input_reading)
            self._last += record is None
            number = self._last if record is None else record.number
            job = Job(number, command, supervised=supervised, output=reading, input_=input_writing, kept=record)
            job.remark = launch.remark
            job.begin(masker=self._masker, outputs=self._outputs, timeout=timeout, resources=resources.pop_all())
        return job

    def find(self, number: int) -> Job | KeptJob:
        """A job of this conversation, or a kept one of an earlier one. Raises `ToolError` if there is none."""
        if number in self._jobs:
            return self._jobs[number]
        self._look_for_earlier()
        if number not in self._earlier:
            known = ", ".join(map(str, (*self._jobs, *self._earlier))) or "none"
            raise ToolError(f"Job {number} does not exist; jobs: {known}.")
        return self._earlier[number]

    def forget(self, job: Job) -> None:
        """Remove a job that could not be started."""
        self._jobs.pop(job.number, None)
        if self._kept is not None and job.keep:
            self._kept.forget(self._kept.find(job.number))

    def describe(self) -> list[str]:
        """Each job in a line, as the model sees it."""
        self._look_for_earlier()
        jobs: list[Job | KeptJob] = [*self._jobs.values(), *self._earlier.values()]
        return [describe(job, shorten=shorten) for job in jobs]

    def describe_end(self) -> list[str]:
        """A sentence for the user about each running job, before all except the kept ones are ended."""
        return [
            f"Job {job.number} keeps running: $ {shorten(job.command)} (see `vmpilot jobs`)"
            if job.keep
            else f"Job {job.number} was stopped (only kept jobs outlive VMPilot): $ {shorten(job.command)}"
            for job in self._jobs.values()
            if not job.over
        ]

    def take_ended(self) -> list[str]:
        """Give a line for each job that has ended since the last time."""
        ended = [job for job in self._jobs.values() if job.over and not job.reported]
        for job in ended:
            job.reported = True
        return [describe(job, shorten=shorten) for job in ended]

    async def close(self) -> None:
        """End all running jobs, except kept ones."""
        jobs = [job for job in self._jobs.values() if not job.over]
        try:
            await asyncio.gather(*(job.end(closing=True) for job in jobs if not job.keep))
        finally:
            for job in jobs:
                job.let_go()

    def _look_for_earlier(self) -> None:
        """Find kept jobs of others. A known one keeps its read position."""
        found = () if self._kept is None else self._kept.all()
        self._earlier = {
            job.number: self._earlier.get(job.number, job) for job in found if job.number not in self._jobs
        }

    def _check_room(self) -> None:
        over = [number for number, job in self._jobs.items() if job.over]
        for number in over[: max(0, len(self._jobs) - _MOST_REMEMBERED + 1)]:
            del self._jobs[number]
        running = [number for number, job in self._jobs.items() if not job.over]
        if len(running) >= _MOST_RUNNING:
            raise ToolError(
                f"Too many background jobs ({len(running)} running: {', '.join(map(str, running))}). End one with the "
                f"tool jobs (action kill), or wait for one."
            )


def shorten(command: str) -> str:
    """The command in one line of at most 100 characters."""
    line = " ".join(command.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"
