"""One background command: its state, its output since it was last read, its input. `Jobs` keeps them."""

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from vmpilot.contract import ToolError
from vmpilot.machine.processes.output import KeptOutput, OutputBuffer
from vmpilot.machine.processes.output_file import OutputFile
from vmpilot.machine.processes.output_reader import OutputReader
from vmpilot.machine.processes.supervisor import Supervised
from vmpilot.machine.secrets.masking import Masker
from vmpilot.tools.kept_jobs import KeptJob

_HALF = 10_000
"""Characters of head and of tail that are kept of what was not read yet."""
_RECENT = 20_000
_FLOOD = 1024 * 1024 * 1024
_PACE = 0.005
_INPUT_PATIENCE = 2.0
_GRACE = 1.0
_CLOSING_GRACE = 0.4


class JobOutput:
    """What a job printed: what is new since the last look, what came last, and the whole in a file."""

    def __init__(self, file: OutputFile | None) -> None:
        self._recent = KeptOutput(head=0, tail=_RECENT, file=file)
        self._new = OutputBuffer(head=_HALF, tail=_HALF)

    @property
    def new_chars(self) -> int:
        """How much there is that was not taken yet."""
        return self._new.total_chars

    def append(self, text: str) -> None:
        """Add masked text."""
        self._recent.append(text)
        self._new.append(text)

    def take_new(self, unfinished: str) -> str:
        """Give what is new, and the unfinished line behind it, which stays new."""
        text = self._new.capped(elsewhere=self._recent.whereabouts).text
        self._new = OutputBuffer(head=_HALF, tail=_HALF)
        return text + unfinished

    def take_last(self, lines: int, unfinished: str) -> str:
        """Give the last lines, whether or not they are new; nothing is new then."""
        self._new = OutputBuffer(head=_HALF, tail=_HALF)
        text = self._recent.capped().text + unfinished
        return "".join(text.splitlines(keepends=True)[-lines:])

    def close(self) -> None:
        """Nothing is added any more."""
        self._recent.close()


class Job:
    """A command that runs in the background until its last process has ended. `number` is how the model calls it,
    `remark` what it should know of the start, `told` whether it was told of the end.
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
        """`output` is the reading end of its output; of a `kept` one its supervisor reads it, and it is closed here."""
        self.number = number
        self.command = command
        self._kept = kept
        self.told = False
        self.remark: str | None = None
        self.ended_by: str | None = None
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
        """Watch it; `resources` are let go of when it is over."""
        self._resources = resources
        self._supervised.watch(self._note)
        if self._kept is not None:  # its supervisor keeps its output and its time
            os.close(self._pipe)
            return
        self._output = JobOutput(OutputFile(outputs) if outputs else None)
        self._reader = OutputReader(self._pipe, flood=_FLOOD, keep=self._output.append, masker=masker, pace=_PACE)
        if timeout is not None:
            timer = self._loop.call_later(timeout, self._end_for, f"ended after {timeout:g} s, its time limit")
            self._resources.callback(timer.cancel)
        self._reader.start(self._note)

    @property
    def keep(self) -> bool:
        """Whether it outlives VMPilot."""
        return self._kept is not None

    @property
    def over(self) -> bool:
        """Whether no process of it is left."""
        return self._seconds is not None

    @property
    def exit_code(self) -> int | None:
        """That of its shell; None while it runs, if a signal ended it, and if its supervisor was ended."""
        code = self._supervised.exit_code
        return code if code is not None and code >= 0 else None

    @property
    def problem(self) -> OSError | None:
        """Why it could not be started."""
        return self._supervised.problem

    @property
    def state(self) -> str:
        """How it is, for the model."""
        seconds = self._loop.time() - self._started if self._seconds is None else self._seconds
        code = self._supervised.exit_code
        ending = self.ended_by or ("no exit code" if code is None else f"ended by signal {-code}")
        if self.over:
            return f"{ending if self.exit_code is None else f'exit code {code}'}, after {seconds:.1f} s"
        if self._supervised.exited:
            return f"its shell has ended ({f'exit code {code}'}), processes of it still run, for {seconds:.1f} s"
        return f"running for {seconds:.1f} s, process {self._supervised.shell}"

    @property
    def unread(self) -> int:
        """Characters of output that were not read yet."""
        if self._kept is not None:
            return self._kept.unread
        return self._output.new_chars + (0 if self.over else len(self._reader.unfinished))

    def read(self, lines: int | None = None) -> str:
        """Give the output since the last read or, with `lines`, the last lines of all."""
        if self._kept is not None:
            return self._kept.read(lines)
        unfinished = "" if self.over else self._reader.unfinished
        return self._output.take_new(unfinished) if lines is None else self._output.take_last(lines, unfinished)

    async def write(self, text: str, *, close: bool) -> None:
        """Write to its standard input. Raises `ToolError` where it does not read it."""
        left = text.encode(errors="surrogateescape")
        until = self._loop.time() + _INPUT_PATIENCE
        while left:
            if self._input is None:
                raise ToolError(f"The input of job {self.number} is closed.")
            left = left[self._write(self._input, left) :]
            if left and self._loop.time() > until:
                raise ToolError(f"Job {self.number} does not read its input: {len(left)} bytes were not taken.")
            if left:
                await self._wait_for_news(0.01)
        if close:
            self._close_input()

    async def wait(self, seconds: float) -> None:
        """Wait until it is over, but no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    async def end(self, *, closing: bool = False) -> int:
        """End all its processes; give how many could not be ended."""
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
        """Nobody listens any more; a kept job goes on, another ends."""
        if not self.over:
            self._finish()

    async def _wait_for_news(self, seconds: float) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def _write(self, descriptor: int, data: bytes) -> int:
        try:
            return os.write(descriptor, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError as error:
            self._close_input()
            raise ToolError(f"Job {self.number} has closed its input.") from error

    def _end_for(self, why: str) -> None:
        self.ended_by = self.ended_by or why
        self._supervised.ask_to_end(_GRACE)

    def _note(self) -> None:
        self._news.set()
        if self._supervised.over:
            self._finish()
        elif self._kept is None and self._reader.flooded and self.ended_by is None:
            self._end_for("ended because it wrote without end")

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
            self._output.close()
        self._close_input()
        self._supervised.close()
        self._resources.close()
        self._over.set()

    def _close_input(self) -> None:
        if self._input is not None:
            os.close(self._input)
            self._input = None


def describe(job: Job | KeptJob, *, shorten: Callable[[str], str]) -> str:
    """The job in one line."""
    kept = ", kept" if job.keep else ""
    unread = f"; {job.unread:,} characters of output not read yet" if job.unread else ""
    return f"job {job.number}{kept}: {job.state}{unread}: $ {shorten(job.command)}"
