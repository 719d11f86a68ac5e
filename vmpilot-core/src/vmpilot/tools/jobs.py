"""The background commands of one conversation. They end with it, but for those that are kept on purpose."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from vmpilot.contract import ToolProblem
from vmpilot.tools.job import Job, describe
from vmpilot.tools.masking import Masker
from vmpilot.tools.process import Confine
from vmpilot.tools.shell_launch import prepare_launch
from vmpilot.tools.supervisor import Supervisor

_MOST_RUNNING = 16
_MOST_REMEMBERED = 32
_LONGEST_NAME = 100


class Jobs:
    """Starts jobs, finds them by number, tells which have ended; `close` ends them."""

    def __init__(self, supervisor: Supervisor, *, masker: Masker, outputs: Path | None) -> None:
        self._supervisor = supervisor
        self._masker = masker
        self._outputs = outputs
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

        Raises `ToolProblem` if too many run, and what `run_command` raises; that the shell could not be started is
        told by `Job.problem` a moment later.
        """
        self._check_room()
        with ExitStack() as resources:
            launch = prepare_launch(command, environment, resources=resources)
            if confine is not None:
                launch = confine(launch, resources)
            reading, writing = os.pipe()
            input_reading, input_writing = os.pipe()
            try:
                supervised = self._supervisor.start(
                    launch,
                    folder=folder,
                    environment={**environment, **launch.variables},
                    streams=(input_reading, writing, writing),
                    drain=reading if keep else None,
                )
            except BaseException:
                os.close(reading)
                os.close(input_writing)
                raise
            finally:
                os.close(writing)
                os.close(input_reading)
            self._last += 1
            job = Job(self._last, command, supervised=supervised, output=reading, input_=input_writing, keep=keep)
            job.remark = launch.remark
            job.begin(masker=self._masker, outputs=self._outputs, timeout=timeout, resources=resources.pop_all())
        self._jobs[job.number] = job
        return job

    def find(self, number: int) -> Job:
        """Raises `ToolProblem` where there is no such job."""
        if number not in self._jobs:
            known = ", ".join(map(str, self._jobs)) or "none"
            raise ToolProblem(f"There is no job {number}; the jobs are: {known}.")
        return self._jobs[number]

    def forget(self, job: Job) -> None:
        """One that could not be started was none."""
        self._jobs.pop(job.number, None)

    def describe(self) -> list[str]:
        """Each job in a line, as the model sees it."""
        return [describe(job, shorten=_shorten) for job in self._jobs.values()]

    def take_news(self) -> list[str]:
        """Give a line for each job that has ended since the last time."""
        ended = [job for job in self._jobs.values() if job.over and not job.told]
        for job in ended:
            job.told = True
        return [describe(job, shorten=_shorten) for job in ended]

    async def close(self) -> None:
        """End all that run but those that are kept."""
        jobs = [job for job in self._jobs.values() if not job.over]
        try:
            await asyncio.gather(*(job.end(closing=True) for job in jobs if not job.keep))
        finally:
            for job in jobs:
                job.let_go()

    def _check_room(self) -> None:
        over = [number for number, job in self._jobs.items() if job.over]
        for number in over[: max(0, len(self._jobs) - _MOST_REMEMBERED + 1)]:
            del self._jobs[number]
        running = [number for number, job in self._jobs.items() if not job.over]
        if len(running) >= _MOST_RUNNING:
            raise ToolProblem(
                f"{len(running)} jobs run, and no more may: end one with the tool jobs (action kill; "
                f"they are {', '.join(map(str, running))}), or wait for one."
            )


def _shorten(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"
