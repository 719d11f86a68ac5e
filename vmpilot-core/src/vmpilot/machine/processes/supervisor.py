"""VMPilot's side of the process supervisors: starts commands through them and follows their state."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vmpilot.machine.processes.shell_launch import Launch
from vmpilot.machine.processes.supervisor_program import FORK, FORK_KEPT, SpawnRequest, end_frame, request_frame

_CODE = """
import sys
from types import ModuleType
folders = "vmpilot", "vmpilot/contract", "vmpilot/machine", "vmpilot/machine/processes", "vmpilot/machine/secrets"
for folder in folders:
    package = ModuleType(folder.replace("/", "."))
    package.__path__ = [f"{sys.argv[1]}/{folder}"]
    sys.modules[package.__name__] = package
from vmpilot.machine.processes.supervisor_program import main
main()
"""
"""Runs the program without the imports of the packages around it."""

_SEND_PATIENCE = 5.0
_MOST_IDLE = 4
_ANSWER_PATIENCE = 0.35
"""Seconds after the grace, in which a supervisor kills and answers."""
_KILL_PATIENCE = 0.2
_CLOSE_PATIENCE = 2.0


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptStart:
    """How a command is kept.

    `folder` takes its files, `output` is the reading end of its output (its supervisor reads it), `timeout` is in
    seconds, and `secrets` are masked in what is kept.
    """

    folder: Path
    output: int
    timeout: float | None
    secrets: tuple[str, ...] = field(repr=False)


class Supervisor:
    """Starts commands. Its fork server starts with the first one, or with `warm_up`, and ends with `close`.

    If this program dies, or the supervisor is closed, the commands end within a second.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._idle: list[socket.socket] = []

    def warm_up(self) -> None:
        """Start the fork server now, so that the first command does not wait 30 ms for it. Raises OSError."""
        if self._requests is not None:
            return
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sources = Path(__file__).parents[3]
        with other:
            try:
                self._process = subprocess.Popen(
                    (sys.executable, "-I", "-S", "-c", _CODE, str(sources)),
                    cwd="/",
                    env={},
                    stdin=other.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except BaseException:
                own.close()
                raise
        self._requests = own

    def start(
        self,
        launch: Launch,
        *,
        folder: Path,
        environment: Mapping[str, str],
        streams: tuple[int, int, int],
        kept: "KeptStart | None" = None,
    ) -> "Supervised":
        """Start a launch with the three standard streams. With `kept`, the command outlives this program.

        Raises OSError if the fork server cannot be started; `Supervised.problem` says if the command could not.
        """
        request = SpawnRequest(
            program=launch.program,
            folder=str(folder),
            arguments=launch.arguments,
            environment={os.fsencode(name): os.fsencode(value) for name, value in environment.items()},
            descriptors=(0, 1, 2, *launch.descriptors),
            kept="" if kept is None else str(kept.folder),
            timeout=None if kept is None else kept.timeout,
            secrets=() if kept is None else kept.secrets,
        ).encode()
        passed = [*(() if kept is None else (kept.output,)), *streams, *launch.descriptors]
        control = self._reuse_idle(request, passed) if kept is None else None
        if control is None:
            control = self._fork_supervisor(FORK if kept is None else FORK_KEPT)
            _send_request(control, request, passed)
        return Supervised(control, launch, folder, release=self._release if kept is None else socket.socket.close)

    def close(self) -> None:
        """End the fork server and all commands except kept ones. Blocks for milliseconds if none runs."""
        while self._idle:
            self._idle.pop().close()
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._process is not None:
            try:
                self._process.wait(_CLOSE_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _reuse_idle(self, request: bytes, passed: Sequence[int]) -> socket.socket | None:
        """Send the request to an idle supervisor, if any."""
        while self._idle:
            control = self._idle.pop()
            try:
                _send_request(control, request, passed)
            except OSError:  # it was killed
                continue
            return control
        return None

    def _release(self, control: socket.socket) -> None:
        """The command has ended, so its supervisor may serve another."""
        if self._requests is None or len(self._idle) >= _MOST_IDLE:
            control.close()
        else:
            self._idle.append(control)

    def _fork_supervisor(self, kind: bytes) -> socket.socket:
        own, other = socket.socketpair()
        try:
            with other:
                for _ in range(2):
                    self.warm_up()
                    assert self._requests is not None  # noqa: S101
                    try:
                        socket.send_fds(self._requests, [kind], [other.fileno()])
                    except (BrokenPipeError, ConnectionResetError):  # a command killed the fork server: start a new one
                        self.close()
                    else:
                        return own
            raise ChildProcessError("The fork server for commands exits at once")
        except BaseException:
            own.close()
            raise


def _send_request(control: socket.socket, request: bytes, passed: Sequence[int]) -> None:
    """Raises OSError, with the socket closed, if the supervisor is gone."""
    try:
        control.settimeout(_SEND_PATIENCE)
        socket.send_fds(control, [request_frame(request)], passed)
        control.sendall(request)
        control.setblocking(False)
    except BaseException:
        control.close()
        raise


class Supervised:
    """A command under its supervisor.

    `exit_code` is that of its shell (negative: a signal), once `exited`. `alone` means that no process of it is left,
    `lost` that its supervisor was killed, and every process below it with it.
    """

    def __init__(
        self, control: socket.socket, launch: Launch, folder: Path, *, release: Callable[[socket.socket], None]
    ) -> None:
        self.shell: int | None = None
        self.exit_code: int | None = None
        self.exited = False
        self.alone = False
        self.lost = False
        self.problem: OSError | None = None
        self._control = control
        self._open = True
        self._names = {"folder": str(folder), "program": launch.program}
        self._release = release
        self._supervisor: int | None = None
        self._unanswered = 0
        self._ended = (0, 0)
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._on_change: Callable[[], None] = lambda: None

    @property
    def over(self) -> bool:
        """Whether none of its processes is left, and no answer is pending."""
        return self.lost or (self.alone and not self._unanswered)

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` after each change; it must not raise."""
        self._on_change = on_change
        self._loop.add_reader(self._control, self._read_and_notify)

    async def end(self, grace: float, *, sleep: Callable[[float], Awaitable[object]]) -> tuple[int, int]:
        """Ask every process to end (TERM), and kill those that still run after `grace` seconds, within 0.35 s more.

        Returns how many there were and how many could not be ended. `sleep` waits for a change, at most the given
        seconds. If the caller is canceled, or `sleep` raises, all are killed at once.
        """
        answered = False
        try:
            self._ask(grace)
            until = self._loop.time() + grace + _ANSWER_PATIENCE
            while self._unanswered and not self.lost and (left := until - self._loop.time()) > 0:
                await sleep(left)
            answered = not self._unanswered
        finally:
            if not answered:
                self.kill_at_once()
        return self._ended if answered else (0, 0 if self.alone else 1)

    def ask_to_end(self, grace: float) -> None:
        """Like `end`, without waiting."""
        self._ask(grace)

    def kill_at_once(self) -> None:
        """Kill every process; blocks for a few milliseconds, at most 0.2 s."""
        if self.over or not self._open:
            return
        self._forget()
        self._ask(0)
        self._control.settimeout(_KILL_PATIENCE)
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
            while data := self._control.recv(4096):
                self._accept(data)
            self.lost = True
        self._signal_supervisor(signal.SIGKILL)
        self.lost = True

    def close(self) -> None:
        """Release the command: its supervisor ends what still runs, unless it is kept."""
        if not self._open:
            return
        self._open = False
        self._forget()
        if self.over and not self.lost:
            self._release(self._control)
        else:
            self._control.close()

    def _forget(self) -> None:
        if not self._loop.is_closed():
            self._loop.remove_reader(self._control)

    def _ask(self, grace: float) -> None:
        self._unanswered += 1
        self._signal_supervisor(signal.SIGCONT)  # the command may have stopped it
        with suppress(OSError):
            self._control.send(end_frame(grace))

    def _signal_supervisor(self, number: signal.Signals) -> None:
        """Its process id is not reused while its end of the socket is open."""
        if self._supervisor is not None and not self.lost:
            with suppress(OSError):
                os.kill(self._supervisor, number)

    def _read_and_notify(self) -> None:
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._accept(data)
        else:
            self._forget()
            self.lost = self.exited = True
            if self._supervisor is None and self.problem is None:
                self.problem = ChildProcessError("The fork server for commands was killed; try again")
        self._on_change()

    def _accept(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._accept_message(line.decode().split())

    def _accept_message(self, words: list[str]) -> None:
        match words:
            case ["supervisor", supervisor]:
                self._supervisor = int(supervisor)
            case ["started", shell]:
                self.shell = int(shell)
                _log.debug("process %s started in %s: %s", shell, self._names["folder"], self._names["program"])
            case ["failed", number, place]:
                self.problem = OSError(int(number), os.strerror(int(number)), self._names[place])
                self.exited = self.alone = True
            case ["exited", code]:
                self.exit_code, self.exited = int(code), True
            case ["alone"]:
                self.alone = True
            case ["ended", found, left]:
                self._ended = int(found), int(left)
                self._unanswered -= 1
            case _:
                raise AssertionError(f"unexpected message of a supervisor: {words}")
