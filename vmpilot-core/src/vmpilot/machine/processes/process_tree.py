"""Finds and signals all processes below another. Standard library only."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

_EXITING = 0x4  # PF_EXITING of linux/sched.h: it has stopped running code


@dataclass(frozen=True, slots=True)
class Member:
    """A process; `started` (clock ticks since boot) distinguishes it from a later one with the same id.

    One that is not `live` has stopped running code, but stays a parent until the kernel removes it.
    """

    pid: int
    name: bytes
    parent: int
    group: int
    session: int
    started: int
    live: bool


class Descendants:
    """All processes below `ancestor`, without itself and the `spared` ones with what is below them.

    For a caller that is a child subreaper: nothing else keeps track of a process that leaves its session, environment,
    descriptors and parents.
    """

    def __init__(self, ancestor: int, *, spared: frozenset[int] = frozenset()) -> None:
        self._ancestor = ancestor
        self._spared = spared

    def find(self) -> list[Member]:
        """The live ones."""
        others = [member for pid in _process_ids() if pid not in self._spared and (member := _read_member(pid))]
        return [member for member in _below({self._ancestor}, others) if member.live]

    def signal(self, *numbers: signal.Signals) -> list[Member]:
        """Signal each, parents first; a group whose leader is among them, at once. Returns those that were alive."""
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


def is_live(pid: int) -> bool:
    """Whether there is such a process, and it may still run code."""
    member = _read_member(pid)
    return member is not None and member.live


def is_namespace_init(pid: int) -> bool:
    """Whether this is the first process of a PID namespace below ours (NSpid of proc(5))."""
    status = _read_proc(pid, "status") or b""
    ids = next((line.split()[1:] for line in status.splitlines() if line.startswith(b"NSpid:")), [])
    return len(ids) > 1 and ids[-1] == b"1"


def name_of_program(path: str) -> bytes:
    """The kernel's name for a process that runs this program: the file's name, cut after 15 bytes."""
    return os.fsencode(os.path.basename(path))[:15]  # noqa: PTH119 - pathlib takes long to import


def start_time(pid: int) -> int | None:
    """When the process started (clock ticks since boot), None if it has ended."""
    member = _read_member(pid)
    return None if member is None or not member.live else member.started


def _process_ids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - three times as fast


def _read_proc(pid: int, name: str) -> bytes | None:
    try:
        with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return None


def _read_member(pid: int) -> Member | None:
    """None if there is no such process."""
    stat = _read_proc(pid, "stat") or b""  # proc(5)
    name, _, rest = stat.partition(b"(")[2].rpartition(b")")
    fields = rest.split()
    if not fields:
        return None
    over = fields[0] in {b"Z", b"X"} or int(fields[6]) & _EXITING
    return Member(
        pid,
        name=name,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        live=not over or int(fields[17]) > 1,  # with more threads, only the first one has ended
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
    """Signal exactly this process: a pidfd keeps its id from being reused before the signal."""
    try:
        descriptor = os.pidfd_open(member.pid)
    except ProcessLookupError:
        return
    except OSError:  # no pidfd on this system: the id might be reused
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
