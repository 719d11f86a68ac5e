"""Runs one command line under a shell and leaves nothing of it behind; it knows no permissions and no tool call.

What is left when the shell has exited (`sleep 100 &`, daemons) gets 300 ms and is then ended and counted. The look at
/proc for it costs a twentieth of a millisecond on the normal path: only processes younger than the shell are examined
(`family`). Not found is what shakes off session, environment, descriptors and parents together, or belongs to a service
that was asked to start it (systemd, docker). If this program itself is killed, a `Guard` ends the command.
"""

import asyncio
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vmpilot.tools.family import Family
from vmpilot.tools.guard import Guard
from vmpilot.tools.output import CappedText, OutputLimits
from vmpilot.tools.output_reader import OutputReader
from vmpilot.tools.shell_launch import ShellLaunch, prepare_launch

COMMAND_ID_VARIABLE = "VMPILOT_COMMAND_ID"
"""In the environment of everything that a command starts; nested commands carry the ids of all their ancestors."""

_LEFT_OVER_PATIENCE = 0.3
_LEFT_OVER_GRACE = 0.5
_TERM_GRACE = 0.6  # with the 0.2 s for KILL: back within a second of the timeout, on a busy machine too
_REAP_PATIENCE = 0.2
_BRIEF = 1.0
"""Seconds in which process ids do not start again from the bottom."""


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """How a command went.

    `exit_code` is None if a signal ended the shell or if we did (`timed_out`, `flooded`); `signal` is the one that
    ended it. `output` is standard output and error in order of arrival, as plain text with the middle cut out if it is
    long. `working_folder` is where the shell stood when it ended, if it told. `left_running` counts background
    processes that still ran when the shell had exited and were ended, `unended` processes that could not be
    ended (another user's). `remark` is for the model, None as a rule.
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


async def run_command(
    command: str,
    *,
    folder: Path,
    environment: Mapping[str, str],
    timeout: float,
    limits: OutputLimits,
    on_output: Callable[[str], None],
) -> CommandOutcome:
    """Run `command` with bash in `folder` and wait until it ends, for `timeout` seconds and less than 1 s more.

    `environment` is the whole environment. `on_output` gets everything as it comes, decoded and raw, about 20 times a
    second at most. When the caller is cancelled, or `on_output` raises, every process of the command is ended first; a
    second cancellation cuts the grace short. Raises ValueError for a command that cannot be given to a shell, OSError
    if it cannot be started (no such folder, no shell).
    """
    with ExitStack() as resources:
        command_id = secrets.token_hex(12)
        launch = prepare_launch(command, environment, command_id=command_id, resources=resources)
        guard = resources.enter_context(Guard(command_id, descriptor=launch.note))
        ids = f"{environment.get(COMMAND_ID_VARIABLE, '')} {command_id}".strip()
        process, pipe = _spawn(launch, folder, {**environment, **launch.variables, COMMAND_ID_VARIABLE: ids})
        guard.watch(process.pid)
        family = Family(command_id, shell=process.pid, descriptor=launch.note)
        run = _Run(process, family, launch, OutputReader(pipe, limits, on_output))
        try:
            return await run.complete(timeout)
        except asyncio.CancelledError:
            await run.abort()
            raise
        finally:
            run.close()


def _spawn(launch: ShellLaunch, folder: Path, environment: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    """Start the shell; give it and the reading end of its output. Nothing here needs code between fork and exec, so
    Python takes the fast way (vfork).
    """
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            launch.arguments,
            executable=launch.program,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            pass_fds=launch.descriptors,
            start_new_session=True,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return process, reading


class _Run:
    """A started command: waits for its shell, passes output on meanwhile, ends what is left."""

    def __init__(
        self, process: subprocess.Popen[bytes], family: Family, launch: ShellLaunch, output: OutputReader
    ) -> None:
        self._family = family
        self._process = process
        self._launch = launch
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._exited = False
        self._settled = False
        self._wake: asyncio.Future[None] | None = None
        self._exit_watch = _ExitWatch(process.pid, self._note_exit)
        self._output.start(self._wake_up)

    async def complete(self, timeout: float) -> CommandOutcome:
        """Wait for the end, whichever it is, and tell how it went."""
        until = self._started + timeout
        timed_out = not await self._pump(lambda: self._exited or self._output.flooded, until)
        exited = self._exited
        left_running, unended = await self._settle() if exited else (0, await self._end(_TERM_GRACE))
        self._settled = True
        self._output.finish()
        code = self._reap()
        return CommandOutcome(
            exit_code=code if exited and code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            output=self._output.capped(),
            seconds=self._loop.time() - self._started,
            timed_out=timed_out,
            flooded=self._output.flooded,
            working_folder=self._launch.read_folder(),
            left_running=left_running,
            unended=unended,
            remark=self._launch.remark,
        )

    async def abort(self) -> None:
        """End everything; nobody wants the output any more."""
        self._output.live.stop()
        await self._end(_TERM_GRACE)
        self._settled = True

    def close(self) -> None:
        """Let go of everything; what still runs, because waiting was broken off, is ended at once."""
        if not self._settled:
            self._family.kill_at_once()
        self._exit_watch.close()
        self._output.close()
        self._reap()

    async def _end(self, grace: float) -> int:
        """End every process, passing output on meanwhile; give how many could not be ended."""
        return await self._family.end(grace, sleep=self._sleep)

    async def _settle(self) -> tuple[int, int]:
        """After the shell's exit: be patient with what it left, then end it. Give how many were left, and unended."""
        until = self._loop.time() + _LEFT_OVER_PATIENCE
        await self._pump(lambda: self._output.ended, until)
        pause = 0.002
        while members := self._family.find(newer_only=self._loop.time() - self._started < _BRIEF):
            left = until - self._loop.time()
            if left <= 0 or self._output.flooded:
                return len(members), await self._end(_LEFT_OVER_GRACE)
            await self._sleep(min(pause, left))
            pause *= 2
        return 0, 0

    async def _sleep(self, seconds: float) -> None:
        await self._pump(lambda: False, self._loop.time() + seconds)

    async def _pump(self, done: Callable[[], bool], until: float) -> bool:
        """Pass output on until `done` or the loop's time is `until`; tell whether it is done."""
        while not done():
            now = self._loop.time()
            if now >= until:
                return False
            self._output.live.deliver_due(now)
            self._wake = self._loop.create_future()
            timer = self._loop.call_at(min(until, self._output.live.due), self._wake_up)
            try:
                await self._wake
            finally:
                timer.cancel()
        return True

    def _note_exit(self) -> None:
        self._exited = True
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)

    def _reap(self) -> int | None:
        """Collect the shell, now that nothing needs its process id any more. None if even KILL has not ended it, or if
        the system collected it (this program was started with SIGCHLD ignored) and its exit code is lost.
        """
        if self._process.returncode is not None:
            return self._process.returncode
        try:
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            return self._process.wait(_REAP_PATIENCE)
        except (ChildProcessError, subprocess.TimeoutExpired):
            return None


class _ExitWatch:
    """Calls `on_exit` once when the child process has exited; does not reap it. A pidfd, or polling without one."""

    def __init__(self, pid: int, on_exit: Callable[[], None]) -> None:
        self._pid = pid
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._descriptor: int | None
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError:
            self._descriptor = None
            self._poll(0.001)
        else:
            self._loop.add_reader(self._descriptor, self._note)

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _note(self) -> None:
        self.close()
        self._on_exit()

    def _poll(self, pause: float) -> None:
        if _has_exited(self._pid):
            self._on_exit()
        else:
            self._timer = self._loop.call_later(pause, self._poll, min(2 * pause, 0.02))


def _has_exited(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
