"""One background command: its state, its unread output, its input."""

import asyncio
import os
from contextlib import ExitStack, suppress
from pathlib import Path

from vmpilot.contract import ToolError
from vmpilot.machine.processes.output import KeptOutput, OutputBuffer
from vmpilot.machine.processes.output_file import OutputFile
from vmpilot.machine.processes.output_reader import OutputReader
from vmpilot.machine.processes.supervisor import Supervised
from vmpilot.machine.secrets.masking import Masker
from vmpilot.tools.kept_jobs import KeptJob, shorten

_HALF = 10_000
"""Characters of head and of tail that are kept of unread output."""
_RECENT = 20_000
_FLOOD = 1024 * 1024 * 1024
_PACE = 0.005
_INPUT_SECONDS = 2.0
_GRACE = 1.0
_CLOSING_GRACE = 0.4


class Job:
    """A command that runs in the background until its last process has ended.

    `number` is its id for the model, `remark` a note about its start, `reported` whether the model knows that it ended.
    A `kept` job's supervisor reads its output and enforces its time limit; `output`, the reading end, is then closed
    here.
    """

    def __init__(
        self,
        number: int,
        command: str,
        *,
        supervised: Supervised,
        output: int,
        input_: int,
        kept: KeptJob | None = None,
    ) -> None:
        self.number = number
        self.command = command
        self.reported = False
        self.remark: str | None = None
        self.ended_by: str | None = None
        self._kept = kept
        self._supervised = supervised
        self._pipe = output
        self._input: int | None = input_
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._seconds: float | None = None
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        self._resources = ExitStack()
        os.set_blocking(input_, False)

    def begin(self, *, masker: Masker, outputs: Path | None, timeout: float | None, resources: ExitStack) -> None:
        """Watch it; `resources` are released when it ends."""
        self._resources = resources
        self._supervised.watch(self._note)
        if self._kept is not None:
            os.close(self._pipe)
            return
        self._recent = KeptOutput(head=0, tail=_RECENT, file=OutputFile(outputs) if outputs else None)
        self._new = OutputBuffer(head=_HALF, tail=_HALF)
        self._reader = OutputReader(self._pipe, flood=_FLOOD, keep=self._keep_output, masker=masker, pace=_PACE)
        if timeout is not None:
            timer = self._loop.call_later(timeout, self._end_because, f"ended after {timeout:g} s, its time limit")
            self._resources.callback(timer.cancel)
        self._reader.start(self._note)

    @property
    def keep(self) -> bool:
        """Whether it outlives VMPilot."""
        return self._kept is not None

    @property
    def over(self) -> bool:
        """Whether none of its processes is left."""
        return self._seconds is not None

    @property
    def exit_code(self) -> int | None:
        """The exit code of its shell; None while it runs, if a signal ended it, or if its supervisor was killed."""
        code = self._supervised.exit_code
        return code if code is not None and code >= 0 else None

    @property
    def problem(self) -> OSError | None:
        """Why it could not be started."""
        return self._supervised.problem

    @property
    def state(self) -> str:
        """Whether it runs or how it ended, for the model."""
        seconds = self._loop.time() - self._started if self._seconds is None else self._seconds
        code = self._supervised.exit_code
        if self.over:
            ending = self.ended_by or ("no exit code" if code is None else f"ended by signal {-code}")
            return f"{ending if self.exit_code is None else f'exit code {code}'}, after {seconds:.1f} s"
        if self._supervised.exited:
            return (
                f"its shell has ended (exit code {code}), but processes that it started still run, for {seconds:.1f} s"
            )
        return f"running for {seconds:.1f} s, process {self._supervised.shell}"

    @property
    def unread(self) -> int:
        """Characters of unread output."""
        if self._kept is not None:
            return self._kept.unread
        return self._new.total_chars + len(self._unfinished)

    def read(self, lines: int | None = None) -> str:
        """Return the output since the last read or, with `lines`, the last lines of all output.

        An unfinished line at the end is returned, but stays unread.
        """
        if self._kept is not None:
            return self._kept.read(lines)
        new, self._new = self._new, OutputBuffer(head=_HALF, tail=_HALF)
        if lines is None:
            return new.capped(elsewhere=self._recent.whereabouts).text + self._unfinished
        text = self._recent.capped().text + self._unfinished
        return "".join(text.splitlines(keepends=True)[-lines:])

    async def write(self, text: str, *, close: bool) -> None:
        """Write to its standard input. Raises `ToolError` if it does not read it."""
        left = text.encode(errors="surrogateescape")
        until = self._loop.time() + _INPUT_SECONDS
        while left:
            if self._input is None:
                raise ToolError(f"The input of job {self.number} is closed.")
            try:
                left = left[os.write(self._input, left) :]
            except BlockingIOError:
                pass
            except BrokenPipeError as error:
                self._close_input()
                raise ToolError(f"Job {self.number} has closed its input.") from error
            if left and self._loop.time() > until:
                raise ToolError(f"Job {self.number} does not read its input: {len(left)} bytes were not written.")
            if left:
                await self._wait_for_news(0.01)
        if close:
            self._close_input()

    async def wait(self, seconds: float) -> None:
        """Wait until it ends, up to a time limit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    async def end(self, *, closing: bool = False) -> int:
        """End all its processes; return the number that could not be ended."""
        if self.over:
            return 0
        self.ended_by = self.ended_by or "ended by the tool jobs"
        if self._loop is not asyncio.get_running_loop():
            self._supervised.kill_at_once()
            self._finish()
            return 0
        _, unended = await self._supervised.end(_CLOSING_GRACE if closing else _GRACE, sleep=self._wait_for_news)
        self._finish()
        return unended

    def let_go(self) -> None:
        """Stop watching; a kept job keeps running, another one ends."""
        if not self.over:
            self._finish()

    @property
    def _unfinished(self) -> str:
        return "" if self.over else self._reader.unfinished

    def _keep_output(self, text: str) -> None:
        self._recent.append(text)
        self._new.append(text)

    async def _wait_for_news(self, seconds: float) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def _end_because(self, why: str) -> None:
        self.ended_by = self.ended_by or why
        self._supervised.ask_to_end(_GRACE)

    def _note(self) -> None:
        self._news.set()
        if self._supervised.over:
            self._finish()
        elif self._kept is None and self._reader.flooded and self.ended_by is None:
            self._end_because(f"ended because its output exceeded {_FLOOD >> 30} GiB")

    def _finish(self) -> None:
        if self.over:
            return
        self._seconds = self._loop.time() - self._started
        if self._kept is not None:
            self.ended_by = self.ended_by or self._kept.ended_by
        else:
            if self._supervised.alone:
                self._reader.finish()
            self._reader.close()
            self._recent.close()
        self._close_input()
        self._supervised.close()
        self._resources.close()
        self._over.set()

    def _close_input(self) -> None:
        if self._input is not None:
            os.close(self._input)
            self._input = None


def describe(job: Job | KeptJob) -> str:
    """The job in one line."""
    kept = ", kept" if job.keep else ""
    unread = f"; {job.unread:,} unread characters of output" if job.unread else ""
    return f"job {job.number}{kept}: {job.state}{unread}: $ {shorten(job.command)}"
