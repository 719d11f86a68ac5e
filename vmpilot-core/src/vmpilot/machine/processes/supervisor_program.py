"""The program that starts commands for VMPilot and ends all their processes. Standard library only.

A fork server forks supervisors, each of which serves one command at a time. A supervisor is the parent of the
command's shell and, as the child subreaper (prctl(2)), of every process that loses its parent. So no process escapes
its supervisor, and the kernel itself says when none is left (no child). The socket closes when VMPilot is gone.
"""

import fcntl
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from vmpilot.machine.processes.process_tree import Descendants, Member, is_namespace_init, name_of_program, start_time

FORK, FORK_KEPT = b"f", b"k"
"""Requests: a supervisor for the socket that is sent along; one whose command outlives VMPilot."""

_FRAME = 20
_ORPHAN_GRACE = 0.5
_KILL_PATIENCE = 0.25
_LONGEST_PAUSE = 0.05
_MOST_DESCRIPTORS = 64
_CHUNK = 64 * 1024
_KEPT_GRACE = 1.0
_PACE = 0.005
_LAST_READS = 16
"""A full pipe of a mebibyte, after the last writer is gone."""
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class SpawnRequest:
    """A command to start. `descriptors` are the numbers that the passed descriptors get in it.

    For a kept command, `kept` is the folder for its files, `timeout` its limit in seconds, and `secrets` are masked.
    """

    program: str
    folder: str
    arguments: tuple[bytes, ...]
    environment: Mapping[bytes, bytes]
    descriptors: tuple[int, ...]
    kept: str = ""
    timeout: float | None = None
    secrets: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """The request as fields separated by NUL. Raises ValueError if one contains it."""
        fields = [
            os.fsencode(self.program),
            os.fsencode(self.folder),
            ",".join(map(str, self.descriptors)).encode(),
            os.fsencode(self.kept),
            b"" if self.timeout is None else b"%r" % self.timeout,
            b"%d" % len(self.secrets),
            *(secret.encode(errors="surrogatepass") for secret in self.secrets),
            b"%d" % len(self.arguments),
            *self.arguments,
            *(name + b"=" + value for name, value in self.environment.items()),
        ]
        if any(b"\0" in field for field in fields):
            raise ValueError("an argument or variable contains NUL")
        return b"\0".join(fields)

    @classmethod
    def decode(cls, body: bytes) -> "SpawnRequest":
        program, folder, descriptors, kept, timeout, secret_count, *rest = body.split(b"\0")
        secrets, (count, *rest) = rest[: int(secret_count)], rest[int(secret_count) :]
        arguments, variables = rest[: int(count)], rest[int(count) :]
        return cls(
            program=os.fsdecode(program),
            folder=os.fsdecode(folder),
            arguments=tuple(arguments),
            environment=dict(variable.split(b"=", 1) for variable in variables),
            descriptors=tuple(map(int, descriptors.split(b","))),
            kept=os.fsdecode(kept),
            timeout=float(timeout) if timeout else None,
            secrets=tuple(secret.decode(errors="surrogatepass") for secret in secrets),
        )


def request_frame(request: bytes) -> bytes:
    """The header of a request to a supervisor; the descriptors are sent with it."""
    return f"spawn {len(request)}".ljust(_FRAME).encode()


def end_frame(grace: float) -> bytes:
    """A request to end the command, and to kill it after so many seconds."""
    return f"end {grace:.3f}".ljust(_FRAME).encode()


class _ChildSignals:
    """A descriptor that becomes readable when a child has ended."""

    def __init__(self) -> None:
        self.descriptor, writing = os.pipe()
        for end in (self.descriptor, writing):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def clear(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.descriptor, 4096)


class _ProcessSupervisor:
    """Starts commands, one at a time, reports on each, and ends it; runs in its own process.

    A `kept` command outlives VMPilot, so the supervisor writes its output and its state to files. TERM ends it.
    """

    def __init__(self, control: socket.socket, *, kept: bool) -> None:
        self._control = control
        self._kept = kept
        self._record: _KeptRecord | None = None
        self._signals = _ChildSignals()
        self._tree = Descendants(os.getpid())
        self._shell = 0
        self._program = b""
        self._alone = True
        self._attached = True

    def serve(self) -> bool:
        """Serve until VMPilot closes the socket; returns whether no process is left."""
        while self._attached or (self._kept and not self._alone):
            readable = self._wait(self._record.patience if self._record and not self._alone else None)
            self._reap()
            if self._record is not None and not self._alone and (why := self._record.reason_to_end()):
                self._record.why = why
                self._end(_KEPT_GRACE)
            if self._attached and self._control.fileno() in readable:
                self._handle_request()
        return self._alone

    def _handle_request(self) -> None:
        try:
            frame, passed = _receive_descriptors(self._control, _FRAME, _MOST_DESCRIPTORS)
        except OSError:
            frame, passed = b"", []
        match frame.decode().split():
            case ["spawn", size]:
                self._start(SpawnRequest.decode(self._receive(int(size))), passed)
            case ["end", grace]:
                left, unended = self._end(float(grace))
                self._send(f"ended {left} {unended}")
            case _:
                self._attached = False
                if not self._kept and not self._alone:
                    self._end(_ORPHAN_GRACE)

    def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size and (piece := self._control.recv(size - len(data))):
            data += piece
        return bytes(data)

    def _start(self, request: SpawnRequest, passed: list[int]) -> None:
        what = "folder"
        self._send(f"supervisor {os.getpid()}")  # before the command could stop it
        try:
            if self._kept:
                self._record = _KeptRecord(request, passed.pop(0))
            os.chdir(request.folder)
            what = "program"
            self._program = name_of_program(request.program)
            self._shell = _spawn(request, passed)
        except OSError as error:
            self._send(f"failed {error.errno} {what}")
        else:
            self._alone = False
            if self._record is not None:
                self._record.begin(self._shell)
            self._send(f"started {self._shell}")
        finally:
            for descriptor in passed:
                os.close(descriptor)

    def _end(self, grace: float) -> tuple[int, int]:
        """End every process; returns how many there were, and are left. A request from VMPilot cuts the grace."""
        found = [member for member in self._tree.find() if not self._is_sandbox(member)]
        self._tree.signal(signal.SIGTERM, signal.SIGCONT)
        self._wait_until_alone(grace, hasty=True)
        until = time.monotonic() + _KILL_PATIENCE
        left: list[Member] = []
        while not self._alone and time.monotonic() < until:
            left = self._tree.signal(signal.SIGKILL)
            self._wait_until_alone(0.002 if len(left) < 100 else 0.01, hasty=False)
        return len(found), 0 if self._alone else len(self._tree.find())

    def _is_sandbox(self, member: Member) -> bool:
        """Whether this is the first process of the sandbox's namespace (bwrap), which only waits for the others."""
        return member.parent == os.getpid() and member.name == self._program and is_namespace_init(member.pid)

    def _wait_until_alone(self, patience: float, *, hasty: bool) -> None:
        until = time.monotonic() + patience
        while not self._alone and (left := until - time.monotonic()) > 0:
            readable = self._wait(min(left, _LONGEST_PAUSE), control=hasty)
            self._reap()
            if hasty and self._attached and self._control.fileno() in readable:
                return

    def _wait(self, seconds: float | None, *, control: bool = True) -> set[int]:
        poll = select.poll()
        poll.register(self._signals.descriptor, select.POLLIN)
        if control and self._attached:
            poll.register(self._control, select.POLLIN)
        if self._record is not None and self._record.pipe is not None:
            poll.register(self._record.pipe, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000)}
        if self._record is not None and self._record.pipe in ready:
            self._record.read()
        return ready

    def _reap(self) -> None:
        """Reap what has ended; report the end of the shell, and of the last process."""
        self._signals.clear()
        news: list[str] = []
        while not self._alone:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._alone = True
                os.chdir("/")  # do not keep the folder busy
                if self._record is not None:
                    self._record.end()
                news.append("alone")
                break
            if pid == 0:
                break
            if pid == self._shell:
                if self._record is not None:
                    self._record.code = os.waitstatus_to_exitcode(status)
                news.append(f"exited {os.waitstatus_to_exitcode(status)}")
        if news:
            self._send("\n".join(news))

    def _send(self, line: str) -> None:
        if self._attached:
            with suppress(OSError):
                self._control.sendall(f"{line}\n".encode())


class _KeptRecord:
    """The files of a kept command. `why` says why it was ended, `code` is its shell's.

    Raises OSError if they cannot be written: a job that cannot be found again must not start.
    """

    def __init__(self, request: SpawnRequest, pipe: int) -> None:
        from vmpilot.machine.processes import job_files  # only kept commands need it

        self._files = job_files
        self._folder = Path(request.kept)
        self._output = job_files.OutputWriter(self._folder, request.secrets)
        self._until = None if request.timeout is None else time.monotonic() + request.timeout
        self._asked = False
        self.pipe: int | None = pipe
        self.code: int | None = None
        self.why = ""
        if request.timeout is not None:
            self._limit = f"ended after {request.timeout:g} s, its time limit"
        os.set_blocking(pipe, False)
        signal.signal(signal.SIGTERM, self._note_request)
        supervisor = os.getpid()
        # "warden" is what the file format calls the supervisor
        self._state = {"boot": job_files.this_boot(), "warden": supervisor, "warden_started": start_time(supervisor)}
        job_files.write_state(self._folder, self._state)  # before the command could stop this process

    @property
    def patience(self) -> float | None:
        """Seconds until the time limit; None if unlimited."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def reason_to_end(self) -> str:
        """Why to end the command now; each reason is returned once."""
        if self._asked:
            self._asked = False
            return "stopped"
        if self._until is not None and time.monotonic() >= self._until:
            self._until = None
            return self._limit
        return ""

    def begin(self, shell: int) -> None:
        """The command has started."""
        self._state |= {"shell": shell, "shell_started": start_time(shell)}
        with suppress(OSError):
            self._files.write_state(self._folder, self._state)

    def read(self) -> bool:
        """Read from the pipe; returns whether there was something."""
        if self.pipe is None:
            return False
        try:
            data = os.read(self.pipe, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            os.close(self.pipe)
            self.pipe = None
            return False
        self._output.feed(data)
        if len(data) == _CHUNK:
            time.sleep(_PACE)
        return True

    def end(self) -> None:
        """No process is left: read the rest of the output, and write how it ended."""
        for _ in range(_LAST_READS):
            if not self.read():
                break
        self._output.close()
        self._state |= {"ended": time.time(), "code": self.code, "why": self.why}
        with suppress(OSError):
            self._files.write_state(self._folder, self._state)

    def _note_request(self, _number: int, _frame: object) -> None:
        self._asked = True


def _spawn(request: SpawnRequest, passed: list[int]) -> int:
    """Start the program in its own session, with only the passed descriptors open."""
    above = max(request.descriptors) + 1
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for descriptor in passed]
    try:
        return os.posix_spawn(
            request.program,
            request.arguments,
            request.environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, *pair) for pair in zip(high, request.descriptors, strict=True)],
            setsid=True,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them
        )
    finally:
        for descriptor in high:
            os.close(descriptor)


class _ForkServer:
    """Forks supervisors, and ends the processes of a supervisor that its command killed."""

    def __init__(self, requests: socket.socket, become_subreaper: Callable[[], None]) -> None:
        self._requests = requests
        self._become_subreaper = become_subreaper
        self._supervisors = dict[int, bool]()
        self._signals = _ChildSignals()

    def serve(self) -> None:
        """Fork supervisors until VMPilot is gone, then wait for them to end their commands."""
        poll = select.poll()
        poll.register(self._requests, select.POLLIN)
        poll.register(self._signals.descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            self._reap()
            if self._requests.fileno() in ready and not self._handle_request():
                break
        self._wait_for_supervisors()

    def _handle_request(self) -> bool:
        """Returns False if VMPilot is gone."""
        try:
            request, passed = _receive_descriptors(self._requests, 1, 1)
        except OSError:
            return False
        if request:
            self._fork(passed[0], kept=request == FORK_KEPT)
        return bool(request)

    def _fork(self, control: int, *, kept: bool) -> None:
        supervisor = os.fork()
        if supervisor == 0:
            self._requests.close()
            code = 1
            try:
                self._become_subreaper()
                code = 0 if _ProcessSupervisor(socket.socket(fileno=control), kept=kept).serve() else 1
            finally:
                os._exit(code)
        self._supervisors[supervisor] = kept
        os.close(control)

    def _reap(self) -> None:
        self._signals.clear()
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if self._supervisors.pop(pid, None) is not None and status != 0:
                    self._end_strays()

    def _end_strays(self) -> None:
        """End processes without a supervisor."""
        tree = Descendants(os.getpid(), spared=frozenset(self._supervisors))
        until = time.monotonic() + _KILL_PATIENCE
        while tree.signal(signal.SIGKILL) and time.monotonic() < until:
            time.sleep(0.002)

    def _wait_for_supervisors(self) -> None:
        until = time.monotonic() + _ORPHAN_GRACE + 2 * _KILL_PATIENCE
        while not all(self._supervisors.values()) and time.monotonic() < until:
            select.select([self._signals.descriptor], [], [], 0.05)
            self._reap()
        for supervisor in [supervisor for supervisor, kept in self._supervisors.items() if not kept]:
            os.kill(supervisor, signal.SIGKILL)
            os.waitpid(supervisor, 0)  # now its processes are below this one
            del self._supervisors[supervisor]
        self._end_strays()


def _subreaper() -> Callable[[], None]:
    """A function that makes the calling process a subreaper; it does nothing if the system cannot."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return lambda: None
    return lambda: prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> NoReturn:
    """Serve requests from the socket that is standard input."""
    become_subreaper = _subreaper()
    become_subreaper()
    requests = socket.socket(fileno=os.dup(0))
    os.dup2(1, 0)  # so that no supervisor holds the socket
    _ForkServer(requests, become_subreaper).serve()
    os._exit(0)


def _receive_descriptors(channel: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """Bytes and descriptors from a channel, not inheritable: Python 3.11 ignores MSG_CMSG_CLOEXEC."""
    data, descriptors, _, _ = socket.recv_fds(channel, size, most)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, descriptors
