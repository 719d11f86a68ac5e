"""Runs one command line in a shell and leaves no process behind. It knows no permissions and no tool calls.

Processes that still run when the shell has exited (`sleep 100 &`, daemons) get 300 ms; then they are ended and counted.
The supervisor catches all of them, except those that another service (systemd, docker, at) was asked to start.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from vmpilot.machine.processes.output import CappedText, KeptOutput, OutputLimits
from vmpilot.machine.processes.output_file import OutputFile
from vmpilot.machine.processes.output_reader import OutputReader
from vmpilot.machine.processes.shell_launch import ShellLaunch, prepare_launch
from vmpilot.machine.processes.supervisor import Supervised, Supervisor
from vmpilot.machine.secrets.masking import Masker

Confine: TypeAlias = Callable[[ShellLaunch, ExitStack], ShellLaunch]
"""Wraps a launch in a sandbox; what the sandbox needs until the command ends goes into the stack."""

_LOST = "it killed its supervisor process, so all its processes were ended and its exit code is unknown"
_LEFT_OVER_PATIENCE = 0.3
_LEFT_OVER_GRACE = 0.5
_TERM_GRACE = 0.4  # plus 0.35 s for KILL: within a second of the timeout, even on a busy machine


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """How a command ended.

    `exit_code` is None if a signal ended the shell or if VMPilot did (`timed_out`, `flooded`); `signal` is the one that
    ended it. `output` is standard output and error in order of arrival, as plain text, with the middle cut out if it is
    long. `working_folder` is the shell's folder when it ended, if known. `left_running` counts background processes
    that still ran when the shell had exited and were ended, `unended` those that could not be ended (another user's).
    `remark` is for the model, `notice` for the user about what the command left behind; usually None.
    """

    exit_code: int | None
    signal: int | None
    output: CappedText
    seconds: float
    timed_out: bool = False
    flooded: bool = False
    working_folder: Path | None = None
    left_running: int = 0
    unended: int = 0
    remark: str | None = None
    notice: str | None = None


async def run_command(
    command: str,
    *,
    folder: Path,
    environment: Mapping[str, str],
    timeout: float,
    limits: OutputLimits,
    on_output: Callable[[str], None],
    confine: Confine | None = None,
    masker: Masker | None = None,
    outputs: Path | None = None,
    supervisor: Supervisor | None = None,
) -> CommandOutcome:
    """Run `command` with bash in `folder` until it ends, for `timeout` seconds and at most 1 s more.

    `environment` is the whole environment. `on_output` gets everything as it arrives, decoded and raw, at most about 20
    times a second. `confine` wraps the launch in a sandbox. `masker` masks secrets in what is kept; `outputs` is a
    folder for the whole of an output that is too long. Without a `supervisor`, one is started for this command, which
    takes 30 ms.

    If the caller is canceled, or `on_output` raises, every process of the command is ended first; a second
    cancellation cuts the grace short. Raises ValueError if the command cannot be passed to a shell, OSError if it
    cannot be started (no such folder, no shell).
    """
    kept = KeptOutput(head=limits.head, tail=limits.tail, file=OutputFile(outputs) if outputs else None)
    with ExitStack() as resources:
        resources.callback(kept.close)
        launch = prepare_launch(command, environment, resources=resources)
        if confine is not None:
            launch = confine(launch, resources)
        supervised, pipe = _start(launch, folder, environment, resources.enter_context(_running(supervisor)))
        output = OutputReader(
            pipe, flood=limits.flood, keep=kept.append, masker=masker or Masker(()), on_output=on_output
        )
        run = _Run(supervised, launch, output, kept)
        try:
            outcome = await run.complete(timeout)
            ending = f"exit code {outcome.exit_code}" if outcome.signal is None else f"signal {outcome.signal}"
            ending = "timed out" if outcome.timed_out else ending
            _log.debug("process %s ended after %.1f s: %s", supervised.shell, outcome.seconds, ending)
            return outcome
        except asyncio.CancelledError:
            await run.abort()
            raise
        finally:
            run.close()


@contextmanager
def _running(supervisor: Supervisor | None) -> Iterator[Supervisor]:
    if supervisor is not None:
        yield supervisor
        return
    own = Supervisor()
    try:
        yield own
    finally:
        own.close()


def _start(
    launch: ShellLaunch, folder: Path, environment: Mapping[str, str], supervisor: Supervisor
) -> tuple[Supervised, int]:
    """Start the shell with empty standard input; returns it and the reading end of its output. Raises OSError."""
    reading, writing = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        supervised = supervisor.start(
            launch,
            folder=folder,
            environment={**environment, **launch.variables},
            streams=(nothing, writing, writing),
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(nothing)
        os.close(writing)
    return supervised, reading


class _Run:
    """A started command: waits for its shell while passing output on, then ends what is left."""

    def __init__(self, supervised: Supervised, launch: ShellLaunch, output: OutputReader, kept: KeptOutput) -> None:
        self._supervised = supervised
        self._launch = launch
        self._output = output
        self._kept = kept
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._settled = False
        self._wake: asyncio.Future[None] | None = None
        self._supervised.watch(self._wake_up)
        self._output.start(self._wake_up)

    async def complete(self, timeout: float) -> CommandOutcome:
        """Wait for the end, and return how it ended."""
        until = self._started + timeout
        timed_out = not await self._pump(lambda: self._supervised.exited or self._output.flooded, until)
        if self._supervised.problem is not None:
            raise self._supervised.problem
        exited = self._supervised.exited
        left_running, unended = await self._settle() if exited else (0, (await self._end(_TERM_GRACE))[1])
        self._settled = True
        self._output.finish()
        code = self._supervised.exit_code
        return CommandOutcome(
            exit_code=code if exited and code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            output=self._kept.capped(),
            seconds=self._loop.time() - self._started,
            timed_out=timed_out,
            flooded=self._output.flooded,
            working_folder=self._launch.read_folder(),
            left_running=left_running,
            unended=unended,
            remark=_LOST if self._supervised.lost and code is None else self._launch.remark,
            notice=self._launch.notice() if self._launch.notice is not None else None,
        )

    async def abort(self) -> None:
        """End everything; output is no longer passed on."""
        self._output.live.stop()
        await self._end(_TERM_GRACE)
        self._settled = True

    def close(self) -> None:
        """Release everything; what still runs, because waiting was interrupted, is killed at once."""
        if not self._settled:
            self._supervised.kill_at_once()
        self._supervised.close()
        self._output.close()

    async def _end(self, grace: float) -> tuple[int, int]:
        """End every process while passing output on; returns how many there were, and could not be ended."""
        now = self._loop.time
        return await self._supervised.end(grace, sleep=lambda seconds: self._pass_time(now(), now() + seconds))

    async def _settle(self) -> tuple[int, int]:
        """After the shell's exit, wait a moment for its processes, then end them; returns as `_end`."""
        until = self._loop.time() + _LEFT_OVER_PATIENCE
        await self._pump(lambda: self._supervised.alone or self._supervised.lost or self._output.flooded, until)
        if self._supervised.alone or self._supervised.lost:
            return 0, 0
        return await self._end(_LEFT_OVER_GRACE)

    async def _pump(self, done: Callable[[], bool], until: float) -> bool:
        """Pass output on until `done` or the loop's time is `until`; returns whether it is done."""
        while not done():
            now = self._loop.time()
            if now >= until:
                return False
            await self._pass_time(now, until)
        return True

    async def _pass_time(self, now: float, until: float) -> None:
        self._output.live.deliver_due(now)
        self._wake = self._loop.create_future()
        timer = self._loop.call_at(min(until, self._output.live.due), self._wake_up)
        try:
            await self._wake
        finally:
            timer.cancel()

    def _wake_up(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)
