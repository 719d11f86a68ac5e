"""The processes of one command, wherever they went: found, signalled, ended. It knows nothing of output or exit codes.

A process belongs to the command if it is in the command's session, carries one of its two marks (an id in the
environment that it was started with, an inherited descriptor), or descends from one that does. A control group would
hold even those that shake all of this off, but joining one costs 10 to 20 ms (cgroup_threadgroup_rwsem waits for a
grace period of the kernel) where the whole of a command costs 3.

It is also a program, which `guard` starts when VMPilot died: so it imports nothing but the standard library.
"""

import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

COMMAND_ID_VARIABLE = "VMPILOT_COMMAND_ID"
"""In the environment of everything that a command starts; nested commands carry the ids of all their ancestors."""

_KILL_PATIENCE = 0.2
_FIRST_POLL = 0.002
_LONGEST_POLL = 0.05
_ORPHAN_GRACE = 0.5
_NO_PROCESS = 2**22 + 1  # PID_MAX_LIMIT of linux/threads.h is one less
_EXITING = 0x4  # PF_EXITING of linux/sched.h: it will run none of its code again


@dataclass(frozen=True, slots=True)
class Member:
    """A process; `started` (clock ticks since boot) tells it from a later one with the same id.

    One that is not `live` runs none of its code again, but is a parent until the kernel has taken it down.
    """

    pid: int
    parent: int
    group: int
    session: int
    started: int
    live: bool


class Family:
    """All processes of the command whose shell is `shell`, a child of ours that leads its own session and that is not
    reaped while this object is used: so its id cannot come to mean another group. `command_id` is in their environment
    and in the name of the memory file that they inherit as `descriptor`.
    """

    def __init__(self, command_id: str, *, shell: int, descriptor: int) -> None:
        self._command_id = command_id
        self._shell = shell
        self._descriptor = descriptor
        self._started = _start_time(shell)

    def find(self, *, newer_only: bool = False) -> list[Member]:
        """Give the live members, the shell included. `newer_only` looks only at process ids above the shell's; it can
        miss one when ids have started again from the bottom.

        Nothing that is older than the shell can be its own: its marks, which cost most, are not looked at.
        """
        above = self._shell if newer_only else 0
        own = os.getpid()
        others: list[Member] = []
        found: list[Member] = []
        for pid in _process_ids():
            if pid > above and pid != own and (member := _read_member(pid)) and member.started >= self._started:
                belongs = member.session == self._shell or self._is_marked(pid)
                (found if belongs else others).append(member)
        everyone = found + _below({member.pid for member in found}, others)
        return [member for member in everyone if member.live]

    async def end(self, grace: float, *, sleep: Callable[[float], Awaitable[object]]) -> int:
        """Ask every member to end (TERM), and end those (KILL) that still run after `grace` seconds; at most 0.2 s
        more. Give how many could not be ended. `sleep` passes the time between looks. If the caller is cancelled, or
        `sleep` raises, all are ended at once.
        """
        over = False
        try:
            self._signal(signal.SIGTERM, signal.SIGCONT)
            gone = await self._wait_until_gone(grace, sleep)
            left = 0 if gone else await self._kill_until_gone(sleep)
            over = True
            return left
        finally:
            if not over:
                self.kill_at_once()

    def kill_at_once(self) -> None:
        """End every member without asking; blocks for the few milliseconds that it takes, 0.2 s at worst."""
        give_up = time.monotonic() + _KILL_PATIENCE
        while self._signal(signal.SIGKILL) and time.monotonic() < give_up:
            time.sleep(_FIRST_POLL)

    async def _wait_until_gone(self, patience: float, sleep: Callable[[float], Awaitable[object]]) -> bool:
        for pause in _pauses(patience):
            if not self.find():
                return True
            await sleep(pause)
        return not self.find()

    async def _kill_until_gone(self, sleep: Callable[[float], Awaitable[object]]) -> int:
        for pause in _pauses(_KILL_PATIENCE):
            if not self._signal(signal.SIGKILL):
                return 0
            await sleep(pause)
        return len(self.find())

    def _signal(self, *numbers: signal.Signals) -> list[Member]:
        """Signal the shell's group in one stroke, then each that left it; give those who were found alive."""
        members = self.find()
        for number in numbers:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._shell, number)
        for member in members:
            if member.group != self._shell:
                _signal_member(member, numbers)
        return members

    def _is_marked(self, pid: int) -> bool:
        return self._command_id.encode() in (_read_proc(pid, "environ") or b"") or self._holds_descriptor(pid)

    def _holds_descriptor(self, pid: int) -> bool:
        try:
            return self._command_id in Path(f"/proc/{pid}/fd/{self._descriptor}").readlink().name
        except OSError:
            return False


class Descendants:
    """All processes below `ancestor`, itself and the `spared` ones with what is below them excepted.

    For a caller that keeps what it looks for below it, as a child subreaper does: nothing else can tell to whom a
    process belongs that shed session, environment, descriptors and parents together.
    """

    def __init__(self, ancestor: int, *, spared: frozenset[int] = frozenset()) -> None:
        self._ancestor = ancestor
        self._spared = spared

    def find(self) -> list[Member]:
        """Give the live ones."""
        others = [member for pid in _process_ids() if pid not in self._spared and (member := _read_member(pid))]
        return [member for member in _below({self._ancestor}, others) if member.live]

    def signal(self, *numbers: signal.Signals) -> list[Member]:
        """Signal each, parents first; a group whose leader is here, in one stroke. Give those who were found alive."""
        members = self.find()
        leaders = {member.pid: None for member in members if member.pid == member.group}
        for number in numbers:
            for leader in leaders:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(leader, number)
        for member in members:
            if member.group not in leaders:
                _signal_member(member, numbers)
        return members


def _pauses(patience: float) -> Iterator[float]:
    """Give the pauses, ever longer, between looks; stop when they add up to `patience`."""
    give_up = time.monotonic() + patience
    pause = _FIRST_POLL
    while (left := give_up - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(2 * pause, _LONGEST_POLL)


def _process_ids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - three times as fast


def _read_proc(pid: int, name: str) -> bytes | None:
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return None


def _read_stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat (proc(5)) from the state on, none where there is no such process."""
    stat = _read_proc(pid, "stat") or b""
    return stat[stat.rfind(b")") + 2 :].split()


def _start_time(pid: int) -> int:
    """When the process began, in clock ticks since boot, also of one that ended and is not reaped; 0 for none."""
    fields = _read_stat(pid)
    return int(fields[19]) if fields else 0


def _read_member(pid: int) -> Member | None:
    """None where there is no such process."""
    fields = _read_stat(pid)
    if not fields:
        return None
    over = fields[0] in {b"Z", b"X"} or int(fields[6]) & _EXITING
    return Member(
        pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        live=not over or int(fields[17]) > 1,  # with more threads it is only the first one that has ended
    )


def _below(parents: set[int], others: list[Member]) -> list[Member]:
    """Those of `others` that descend from the parents."""
    everyone: list[Member] = []
    while parents:
        found = [member for member in others if member.parent in parents]
        others = [member for member in others if member.parent not in parents]
        parents = {member.pid for member in found}
        everyone += found
    return everyone


def _signal_member(member: Member, numbers: tuple[signal.Signals, ...]) -> None:
    """Signal exactly this process: a pidfd keeps its id from being given to another between look and signal."""
    try:
        descriptor = os.pidfd_open(member.pid)
    except ProcessLookupError:
        return
    except OSError:  # no pidfd on this system: the gap between look and signal stays
        _send_signals(member, numbers, send=partial(os.kill, member.pid))
        return
    try:
        _send_signals(member, numbers, send=partial(signal.pidfd_send_signal, descriptor))
    finally:
        os.close(descriptor)


def _send_signals(member: Member, numbers: tuple[signal.Signals, ...], *, send: Callable[[int], None]) -> None:
    now = _read_member(member.pid)
    if now is None or not now.live or now.started != member.started:
        return
    for number in numbers:
        with suppress(ProcessLookupError, PermissionError):
            send(number)


def end_orphans(command_id: str, descriptor: int, shell: int | None) -> int:
    """End the processes of a command whose VMPilot died; give how many could not be ended. Blocks for 0.7 s at most.

    Without the shell's id only the marks and parents tell who belongs to it. The shell is no child of ours, so its id
    could in theory mean another process by now; that takes a full turn of the process ids within milliseconds.
    """

    async def sleep(seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no event loop here

    ending = Family(command_id, shell=shell or _NO_PROCESS, descriptor=descriptor).end(_ORPHAN_GRACE, sleep=sleep)
    try:
        ending.send(None)
    except StopIteration as end:
        return int(end.value)
    raise AssertionError("nothing in it waits for an event loop")


if __name__ == "__main__":
    sys.exit(min(1, end_orphans(sys.argv[1], int(sys.argv[2]), int(sys.argv[3] or 0))))
