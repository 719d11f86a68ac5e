"""Runs the commands of one conversation: environment, sandbox, masking, supervisor and background jobs."""

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, TypeAlias

from vmpilot.contract import Confinement, ToolError
from vmpilot.machine.processes.output import OutputLimits
from vmpilot.machine.processes.process import CommandOutcome, Confine, run_command
from vmpilot.machine.processes.shell_launch import ShellLaunch, prepare_launch
from vmpilot.machine.processes.supervisor import KeptStart, Supervisor
from vmpilot.machine.secrets.masking import Masker
from vmpilot.tools._job import Job, describe
from vmpilot.tools.kept_jobs import KeptJob, KeptJobs, shorten

ConfineCommand: TypeAlias = Callable[[ShellLaunch, ExitStack, Literal["read", "workspace"], Path], ShellLaunch]
"""Puts a planned launch into a sandbox of that level; the command starts in the folder."""

_MOST_RUNNING = 16
_MOST_REMEMBERED = 32


class CommandRunner:
    """Runs commands and background jobs. It costs nothing before the first command; `close` ends all of them.

    `environment` is the complete, scrubbed environment of the commands. `masker` masks secrets in the output; with
    `outputs`, a folder for this conversation alone, long output is kept there in full. A runner that is not `lasting`
    needs no `close` if it starts no jobs, but each command takes 30 ms longer. `kept` stores the jobs that outlive
    VMPilot; without it, kept jobs cannot be started.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        masker: Masker | None = None,
        outputs: Path | None = None,
        confine: ConfineCommand | None = None,
        lasting: bool = True,
        kept: KeptJobs | None = None,
        conversation: str = "",
    ) -> None:
        self._environment = environment
        self._masker = masker or Masker(())
        self._outputs = outputs
        self._confine = confine
        self._lasting = lasting
        self._kept = kept
        self._conversation = conversation
        self._supervisor = Supervisor()
        self._jobs: dict[int, Job] = {}
        self._earlier: dict[int, KeptJob] = {}
        self._last = 0

    def warm_up(self) -> None:
        """Start the supervisor now, which saves the first command 30 ms. Raises OSError."""
        self._supervisor.warm_up()

    async def run(
        self,
        command: str,
        *,
        folder: Path,
        timeout: float,
        confinement: Confinement = "host",
        on_output: Callable[[str], None] = lambda _: None,
    ) -> CommandOutcome:
        """See `run_command`. Raises `ToolError` if it requires a sandbox and none works."""
        return await run_command(
            command,
            folder=folder,
            environment=self._environment,
            timeout=timeout,
            limits=OutputLimits(),
            on_output=on_output,
            confine=self._confined(confinement, folder),
            masker=self._masker,
            outputs=self._outputs,
            supervisor=self._supervisor if self._lasting else None,
        )

    def start_job(
        self,
        command: str,
        *,
        folder: Path,
        timeout: float | None = None,
        confinement: Confinement = "host",
        keep: bool = False,
    ) -> Job:
        """Start `command` as `run` does, but with a standard input to write to; do not wait for it.

        Raises `ToolError` if too many jobs run, and the errors of `run`. If the shell cannot be started, `Job.problem`
        says so a moment later. A job that is kept outlives VMPilot.
        """
        confine = self._confined(confinement, folder)
        self._check_room()
        record = None
        if keep:
            if self._kept is None:
                raise ToolError("Not run: jobs cannot be kept here.")
            record = self._kept.begin(self._masker.mask(command), conversation=self._conversation)
        try:
            job = self._start_job(command, folder, confine=confine, timeout=timeout, record=record)
        except BaseException:
            if self._kept is not None and record is not None:
                self._kept.forget(record)
            raise
        self._jobs[job.number] = job
        return job

    def find_job(self, number: int) -> Job | KeptJob:
        """A job of this conversation, or a kept one of an earlier one. Raises `ToolError` if it does not exist."""
        if number in self._jobs:
            return self._jobs[number]
        self._look_for_earlier()
        if number not in self._earlier:
            known = ", ".join(map(str, (*self._jobs, *self._earlier))) or "none"
            raise ToolError(f"Job {number} does not exist; jobs: {known}.")
        return self._earlier[number]

    def forget_job(self, job: Job) -> None:
        """Remove a job that could not be started."""
        self._jobs.pop(job.number, None)
        if self._kept is not None and job.keep:
            self._kept.forget(self._kept.find(job.number))

    def list_jobs(self) -> list[str]:
        """Each job in a line, as the model sees it."""
        self._look_for_earlier()
        jobs: list[Job | KeptJob] = [*self._jobs.values(), *self._earlier.values()]
        return [describe(job) for job in jobs]

    def take_ended_jobs(self) -> list[str]:
        """Return a line for each job that has ended since the last call."""
        ended = [job for job in self._jobs.values() if job.over and not job.reported]
        for job in ended:
            job.reported = True
        return [describe(job) for job in ended]

    def describe_end(self) -> list[str]:
        """A sentence for the user about each running job, before all jobs except kept ones are ended."""
        return [
            f"Job {job.number} keeps running: $ {shorten(job.command)} (see `vmpilot jobs`)"
            if job.keep
            else f"Job {job.number} was stopped (only kept jobs outlive VMPilot): $ {shorten(job.command)}"
            for job in self._jobs.values()
            if not job.over
        ]

    async def close(self) -> None:
        """End the jobs, except kept ones, and everything else that still runs."""
        jobs = [job for job in self._jobs.values() if not job.over]
        try:
            await asyncio.gather(*(job.end(closing=True) for job in jobs if not job.keep))
        finally:
            for job in jobs:
                job.let_go()
            self._supervisor.close()

    def _confined(self, level: Confinement, folder: Path) -> Confine | None:
        """Nothing runs unconfined by mistake."""
        confine = self._confine
        if level == "host":
            return None
        if confine is None:
            raise ToolError("Not run: it may only run in a sandbox, and no sandbox works on this machine.")
        return lambda launch, resources: confine(launch, resources, level, folder)

    def _start_job(
        self, command: str, folder: Path, *, confine: Confine | None, timeout: float | None, record: KeptJob | None
    ) -> Job:
        with ExitStack() as resources:
            launch = prepare_launch(command, self._environment, resources=resources)
            if confine is not None:
                launch = confine(launch, resources)
            reading, writing = os.pipe()
            input_reading, input_writing = os.pipe()
            secrets = tuple(value for value in self._masker.values if "\0" not in value)
            try:
                supervised = self._supervisor.start(
                    launch,
                    folder=folder,
                    environment={**self._environment, **launch.variables},
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

    def _look_for_earlier(self) -> None:
        """Find kept jobs started elsewhere. A known job keeps its read position."""
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
