"""The program that starts commands for VMPilot and ends all that comes of them; it uses the standard library only.

One process forks wardens, each of which serves one command at a time. A warden is the parent of the command's shell
and, as the child subreaper (prctl(2)), of what loses its own parent: whatever a process sheds, it stays below its
warden, and "nothing is left" is an answer of the kernel (no child). The end of a socket tells that VMPilot is gone.
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
"""What VMPilot asks for: a warden for the socket that comes along; one whose command outlives VMPilot."""

_FRAME = 20
_ORPHAN_GRACE = 0.5
_KILL_PATIENCE = 0.25
_LONGEST_PAUSE = 0.05
_MOST_DESCRIPTORS = 64
_CHUNK = 64 * 1024
_KEPT_GRACE = 1.0
_PACE = 0.005
_LAST_READS = 16
"""What a full pipe of a mebibyte can still hold when everybody who could write is gone."""
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Order:
    """What a warden is to start. `descriptors` are the numbers that the passed descriptors get in the command.

    Of a kept command, `kept` is the folder for its files, `timeout` its limit of seconds, and `secrets` are masked.
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
        """Give the order as fields that are separated by NUL. Raises ValueError where one contains it."""
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
            raise ValueError("a program is given no NUL")
        return b"\0".join(fields)

    @classmethod
    def decode(cls, body: bytes) -> "Order":
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


def order_frame(order: bytes) -> bytes:
    """What announces the order to a warden; the descriptors come along with it."""
    return f"order {len(order)}".ljust(_FRAME).encode()


def end_frame(grace: float) -> bytes:
    """What tells a warden to end its command, and after how many seconds at the latest by force."""
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


class _Warden:
    """Starts commands, one at a time, reports on each, and ends it; runs in a process of its own.

    A `kept` command outlives VMPilot, so the warden keeps its output and says in a file how it goes. TERM ends it.
    """

    def __init__(self, control: socket.socket, *, kept: bool) -> None:
        self._control = control
        self._kept = kept
        self._record: _KeptRecord | None = None
        self._signals = _ChildSignals()
        self._family = Descendants(os.getpid())
        self._shell = 0
        self._program = b""
        self._alone = True
        self._attached = True

    def serve(self) -> bool:
        """Go on until VMPilot has let go of the warden; tell whether nothing is left."""
        while self._attached or (self._kept and not self._alone):
            readable = self._wait(self._record.patience if self._record and not self._alone else None)
            self._reap()
            if self._record is not None and not self._alone and (why := self._record.reason_to_end()):
                self._record.why = why
                self._end(_KEPT_GRACE)
            if self._attached and self._control.fileno() in readable:
                self._obey()
        return self._alone

    def _obey(self) -> None:
        match self._hear():
            case ["order", size], passed:
                self._start(Order.decode(self._receive(int(size))), passed)
            case ["end", grace], _:
                left, unended = self._end(float(grace))
                self._tell(f"ended {left} {unended}")
            case _:
                self._attached = False
                if not self._kept and not self._alone:
                    self._end(_ORPHAN_GRACE)

    def _hear(self) -> tuple[list[str], list[int]]:
        """What VMPilot wants, with descriptors that came along; nothing if it has let go."""
        try:
            frame, passed = _receive_descriptors(self._control, _FRAME, _MOST_DESCRIPTORS)
        except OSError:
            return [], []
        return frame.decode().split(), passed

    def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size and (piece := self._control.recv(size - len(data))):
            data += piece
        return bytes(data)

    def _start(self, order: Order, passed: list[int]) -> None:
        what = "folder"
        self._tell(f"warden {os.getpid()}")  # before the command could stop it
        try:
            if self._kept:
                self._record = _KeptRecord(order, passed.pop(0))
            os.chdir(order.folder)
            what = "program"
            self._program = name_of_program(order.program)
            self._shell = _spawn(order, passed)
        except OSError as error:
            self._tell(f"failed {error.errno} {what}")
        else:
            self._alone = False
            if self._record is not None:
                self._record.begin(self._shell)
            self._tell(f"started {self._shell}")
        finally:
            for descriptor in passed:
                os.close(descriptor)

    def _end(self, grace: float) -> tuple[int, int]:
        """End every process; give how many there were, and how many are left. News from VMPilot cuts the grace."""
        found = [member for member in self._family.find() if not self._is_sandbox(member)]
        self._family.signal(signal.SIGTERM, signal.SIGCONT)
        self._wait_until_alone(grace, hasty=True)
        until = time.monotonic() + _KILL_PATIENCE
        left: list[Member] = []
        while not self._alone and time.monotonic() < until:
            left = self._family.signal(signal.SIGKILL)
            self._wait_until_alone(0.002 if len(left) < 100 else 0.01, hasty=False)
        return len(found), 0 if self._alone else len(self._family.find())

    def _is_sandbox(self, member: Member) -> bool:
        """Whether this is the first process of our sandbox's namespace (bwrap), which only waits for the others."""
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
        """Collect what has ended; tell of the shell's end, and of the last one's."""
        self._signals.clear()
        news: list[str] = []
        while not self._alone:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._alone = True
                os.chdir("/")  # a folder is not held longer than needed
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
            self._tell("\n".join(news))

    def _tell(self, line: str) -> None:
        if self._attached:
            with suppress(OSError):
                self._control.sendall(f"{line}\n".encode())


class _KeptRecord:
    """What a kept command leaves in its folder. `why` says who ended it, `code` is its shell's.

    Raises OSError if nothing can be written there: a job that nobody could find must not start.
    """

    def __init__(self, order: Order, pipe: int) -> None:
        from vmpilot.machine.processes import kept_files  # no other command needs it

        self._files = kept_files
        self._folder = Path(order.kept)
        self._output = kept_files.OutputWriter(self._folder, order.secrets)
        self._until = None if order.timeout is None else time.monotonic() + order.timeout
        self._asked = False
        self.pipe: int | None = pipe
        self.code: int | None = None
        self.why = ""
        if order.timeout is not None:
            self._limit = f"ended after {order.timeout:g} s, its time limit"
        os.set_blocking(pipe, False)
        signal.signal(signal.SIGTERM, self._note_request)
        warden = os.getpid()
        self._state = {"boot": kept_files.this_boot(), "warden": warden, "warden_started": start_time(warden)}
        kept_files.write_state(self._folder, self._state)  # before the command could stop this process

    @property
    def patience(self) -> float | None:
        """Seconds until the time limit; None if there is none."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def reason_to_end(self) -> str:
        """Why the command is to be ended now; each reason is given once."""
        if self._asked:
            self._asked = False
            return "stopped"
        if self._until is not None and time.monotonic() >= self._until:
            self._until = None
            return self._limit
        return ""

    def begin(self, shell: int) -> None:
        """The command runs."""
        self._state |= {"shell": shell, "shell_started": start_time(shell)}
        with suppress(OSError):
            self._files.write_state(self._folder, self._state)

    def read(self) -> bool:
        """Take what the pipe holds; return whether there was something."""
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
        """Nothing of the command is left: take the rest of its output, and say how it ended."""
        for _ in range(_LAST_READS):
            if not self.read():
                break
        self._output.close()
        self._state |= {"ended": time.time(), "code": self.code, "why": self.why}
        with suppress(OSError):
            self._files.write_state(self._folder, self._state)

    def _note_request(self, _number: int, _frame: object) -> None:
        self._asked = True


def _spawn(order: Order, passed: list[int]) -> int:
    """Start the program in a session of its own, with nothing open but what was passed."""
    above = max(order.descriptors) + 1
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for descriptor in passed]
    try:
        return os.posix_spawn(
            order.program,
            order.arguments,
            order.environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, *pair) for pair in zip(high, order.descriptors, strict=True)],
            setsid=True,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them
        )
    finally:
        for descriptor in high:
            os.close(descriptor)


class _Dispatcher:
    """Forks wardens, and ends what a warden left that was itself ended by its command."""

    def __init__(self, orders: socket.socket, become_subreaper: Callable[[], None]) -> None:
        self._orders = orders
        self._become_subreaper = become_subreaper
        self._wardens = dict[int, bool]()
        self._signals = _ChildSignals()

    def serve(self) -> None:
        """Fork wardens until VMPilot is gone, then wait for those that end their commands."""
        poll = select.poll()
        poll.register(self._orders, select.POLLIN)
        poll.register(self._signals.descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            self._reap()
            if self._orders.fileno() in ready and not self._obey():
                break
        self._wait_for_wardens()

    def _obey(self) -> bool:
        """Tell whether there was something to do."""
        try:
            order, passed = _receive_descriptors(self._orders, 1, 1)
        except OSError:
            return False
        if order:
            self._fork(passed[0], kept=order == FORK_KEPT)
        return bool(order)

    def _fork(self, control: int, *, kept: bool) -> None:
        warden = os.fork()
        if warden == 0:
            self._orders.close()
            _run_warden(control, self._become_subreaper, kept=kept)
        self._wardens[warden] = kept
        os.close(control)

    def _reap(self) -> None:
        self._signals.clear()
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if self._wardens.pop(pid, None) is not None and status != 0:
                    self._end_strays()

    def _end_strays(self) -> None:
        """End what has no warden."""
        family = Descendants(os.getpid(), spared=frozenset(self._wardens))
        until = time.monotonic() + _KILL_PATIENCE
        while family.signal(signal.SIGKILL) and time.monotonic() < until:
            time.sleep(0.002)

    def _wait_for_wardens(self) -> None:
        until = time.monotonic() + _ORPHAN_GRACE + 2 * _KILL_PATIENCE
        while not all(self._wardens.values()) and time.monotonic() < until:
            select.select([self._signals.descriptor], [], [], 0.05)
            self._reap()
        for warden in [warden for warden, kept in self._wardens.items() if not kept]:
            os.kill(warden, signal.SIGKILL)
            os.waitpid(warden, 0)  # from then on, what it watched over is below this process
            del self._wardens[warden]
        self._end_strays()


def _run_warden(control: int, become_subreaper: Callable[[], None], *, kept: bool) -> NoReturn:
    code = 1
    try:
        become_subreaper()
        code = 0 if _Warden(socket.socket(fileno=control), kept=kept).serve() else 1
    finally:
        os._exit(code)


def _subreaper() -> Callable[[], None]:
    """What makes the calling process the subreaper; nothing where the system does not offer it."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return lambda: None
    return lambda: prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> NoReturn:
    """Take orders from the socket that is standard input."""
    become_subreaper = _subreaper()
    become_subreaper()
    orders = socket.socket(fileno=os.dup(0))
    os.dup2(1, 0)  # so that no warden holds the socket
    _Dispatcher(orders, become_subreaper).serve()
    os._exit(0)


def _receive_descriptors(channel: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """Bytes and descriptors from a channel; no command inherits them. Python 3.11 does not heed MSG_CMSG_CLOEXEC."""
    data, descriptors, _, _ = socket.recv_fds(channel, size, most)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return data, descriptors
