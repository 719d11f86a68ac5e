"""Probes of other processes, sockets and terminals."""

import os
import signal
import socket
from contextlib import suppress
from errno import EPERM
from pathlib import Path
from typing import Any

from .probe import Plan, Probe, call, call_prctl, libc

_VSOCK = 40
_TIOCSTI = 0x5412  # asm-generic/ioctls.h


def _victim(plan: Plan) -> int:
    """The process outside with the token in its arguments. Raises OSError if it is not visible."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and plan["token"].encode() in (entry / "cmdline").read_bytes():
                return int(entry.name)
    raise ProcessLookupError


def _see_process(plan: Plan) -> str:
    return f"saw process {_victim(plan)} outside"


def _read_environment(plan: Plan) -> str | None:
    for pid in (_seen_or(plan, plan["victim"]), os.getppid()):
        with suppress(OSError):
            if plan["secret"].encode() in Path(f"/proc/{pid}/environ").read_bytes():
                return f"read the environment of process {pid}"
    return None


def _seen_or(plan: Plan, pid: int) -> int:
    try:
        return _victim(plan)
    except OSError:
        return pid


def _signal_process(plan: Plan) -> str | None:
    pid = _seen_or(plan, plan["victim"])
    if plan["token"].encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
        return None
    os.kill(pid, 0)
    return f"could signal process {pid}"


def _look_into_process(plan: Plan) -> str:
    list(Path(f"/proc/{_victim(plan)}/root/").iterdir())
    return "looked through /proc/PID/root of a process outside"


def _hold_descriptors(_plan: Plan) -> str | None:
    """Except for this program's own pipe."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = str(entry.readlink())
            if int(entry.name) > 2 and not target.startswith(("pipe:", "/proc/")):
                return f"inherited descriptor {entry.name}: {target}"
    return None


def _hold_privileges(_plan: Plan) -> str | None:
    """An ordinary user's bounding set does not matter if no program gives privileges (`setuid`)."""
    sets = ("CapEff", "CapPrm", "CapInh", "CapAmb") + (("CapBnd",) if os.geteuid() == 0 else ())
    lines = Path("/proc/self/status").read_text().splitlines()
    return ", ".join(line for line in lines if line.startswith(sets) and int(line.split()[1], 16)) or None


def _gain_privileges(_plan: Plan) -> str | None:
    return "a setuid program would get its privileges" if call_prctl(39) == 0 else None  # PR_GET_NO_NEW_PRIVS


def _trace_child(plan: Plan) -> str | None:
    """Tracing is dangerous even without a process outside: it can bypass the filter."""
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        return call(plan["numbers"]["ptrace"], 0x4206, child, None, None)  # PTRACE_SEIZE
    finally:
        os.kill(child, signal.SIGKILL)


def _connect(family: int, kind: int, address: Any) -> str:
    with socket.socket(family, kind) as link:
        link.settimeout(2)
        link.connect(address)
    return f"connected to {address!r}"


def _reach_out(_plan: Plan) -> str:
    """A datagram socket's connect(2) sends nothing, but fails without a route. RFC 5737."""
    return _connect(socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 9))


def _send_datagram(plan: Plan) -> str:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.connect(plan["datagram"])
    return "reached a datagram socket from a pair"


def _open_socket(family: int) -> str:
    socket.socket(family, socket.SOCK_DGRAM if family != _VSOCK else socket.SOCK_STREAM).close()
    return f"made a socket of family {family}"


def _push_terminal_input(_plan: Plan) -> str:
    import fcntl
    import pty

    _, terminal = pty.openpty()
    fcntl.ioctl(terminal, _TIOCSTI, b"x")
    return "pushed input into a terminal"


def _filtered_terminal_input(_plan: Plan) -> str | None:
    """A pipe is no terminal: only a filter refuses before the kernel checks."""
    import fcntl

    try:
        fcntl.ioctl(os.pipe()[0], _TIOCSTI, b"x")
    except OSError as error:
        return None if error.errno == EPERM else "the kernel accepted the ioctl"
    return "the ioctl succeeded"


def _attach_shared_memory(plan: Plan) -> str | None:
    identifier = libc().shmget(plan["shared_memory"], 0, 0)
    return "found shared memory of the machine" if identifier >= 0 else None


PROBES = (
    Probe("see-processes", "other processes are not visible", _see_process),
    Probe("environment", "the environment of VMPilot and others cannot be read", _read_environment),
    Probe("signal", "other processes cannot be ended", _signal_process),
    Probe("process-root", "the files of other processes cannot be reached through /proc", _look_into_process),
    Probe("trace", "no process can be traced", _trace_child),
    Probe(
        "process-memory",
        "no other process's memory can be read",
        lambda p: call(p["numbers"]["process_vm_readv"], p["victim"], None, 0, None, 0, 0),
    ),
    Probe("descriptors", "no open file of VMPilot is inherited", _hold_descriptors),
    Probe("capabilities", "there are no capabilities, and root cannot gain any", _hold_privileges),
    Probe("setuid", "setuid programs give no privileges", _gain_privileges),
    Probe(
        "loopback",
        "services on this machine cannot be reached",
        lambda p: _connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", p["port"])),
    ),
    Probe("network", "no network is reachable", _reach_out),
    Probe(
        "abstract-socket",
        "abstract sockets of other programs cannot be reached",
        lambda p: _connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + p["abstract"]),
    ),
    Probe(
        "path-socket",
        "sockets in folders (Docker's, the agent's) cannot be reached",
        lambda p: _connect(socket.AF_UNIX, socket.SOCK_STREAM, p["socket"]),
    ),
    Probe("datagram-pair", "datagram sockets (the system log's) cannot be reached from a pair", _send_datagram),
    Probe("vsock", "the host of a virtual machine cannot be reached", lambda _: _open_socket(_VSOCK)),
    Probe("kernel-crypto", "kernel crypto sockets cannot be created", lambda _: _open_socket(38)),
    Probe("shared-memory", "shared memory of the machine cannot be attached", _attach_shared_memory),
    Probe("terminal-input", "no input can be pushed into a terminal", _push_terminal_input),
    Probe("terminal-filter", "the filter blocks terminal input, whatever the kernel allows", _filtered_terminal_input),
)
