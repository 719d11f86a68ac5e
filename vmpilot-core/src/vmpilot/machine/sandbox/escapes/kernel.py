"""Probes of the kernel: calls that would undo the sandbox or reach around it."""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

from .probe import NotTried, Plan, Probe, call, calls, libc

_BIND, _REMOUNT, _DETACH = 0x1000, 0x20, 2  # linux/mount.h
_NEW_USER = 0x10000000  # linux/sched.h
_GETPID_BY_INTERRUPT = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20; int 0x80; ret
_X32_GETPID = 0x40000000 | 39


def _remount(plan: Plan) -> str | None:
    """Of the root folder if it is read-only; else of a path that is no mount, so that nothing changes."""
    target = "/" if os.statvfs("/").f_flag & os.ST_RDONLY else plan["outside"]
    if (done := call(plan["numbers"]["mount"], None, os.fsencode(target), None, _REMOUNT | _BIND, None)) is None:
        return None
    with suppress(OSError), Path(plan["outside"], "file").open("a"):
        return f"{done}; files outside can be changed"
    return done


def _new_mount_interface(plan: Plan) -> str | None:
    return next(
        (
            done
            for name in ("fsopen", "open_tree", "move_mount", "mount_setattr")
            if (done := call(plan["numbers"][name], -1, b"", -1, b"", 0))
        ),
        None,
    )


def _unmount(plan: Plan) -> str | None:
    return call(plan["numbers"]["umount2"], os.fsencode(plan["hidden"][0]), _DETACH)


def _nest_namespace(plan: Plan) -> str | None:
    """Any refusal counts, also because of a limit."""
    numbers = plan["numbers"]
    pid = libc().syscall(ctypes.c_long(numbers["clone"]), _NEW_USER | signal.SIGCHLD, None, None, None, None)
    if pid == 0:
        os._exit(0)
    if pid > 0:
        return "clone(2) made a user namespace"
    made = libc().syscall(ctypes.c_long(numbers["unshare"]), _NEW_USER) == 0
    return "unshare(2) made a user namespace" if made else None


def _change_root(plan: Plan) -> str:
    os.chroot(plan["scratch"])
    return "changed the root folder"


def _run_machine_code(code: bytes) -> int:
    import mmap

    page = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())


def _call_32_bits(plan: Plan) -> str | None:
    if plan["machine"] != "x86_64":
        raise NotTried("only x86-64 has 32-bit calls in 64-bit programs")
    return "a 32-bit call succeeded" if _run_machine_code(_GETPID_BY_INTERRUPT) > 0 else None


def _call_x32(plan: Plan) -> str | None:
    if plan["machine"] != "x86_64":
        raise NotTried("only x86-64 has the x32 interface")
    return call(_X32_GETPID)


PROBES = (
    Probe("remount", "the file system cannot be made writable", _remount),
    Probe("mount", "nothing can be mounted", calls("mount", None, b"/", b"no-such-type", 0, None)),
    Probe("mount-interface", "nothing can be mounted with the new mount API", _new_mount_interface),
    Probe("unmount", "mounts that hide secrets cannot be removed", _unmount),
    Probe("change-root", "the root folder cannot be changed", _change_root),
    Probe("pivot-root", "the old root folder cannot be restored", calls("pivot_root", b"/", b"/")),
    Probe("user-namespace", "no new user namespace gives privileges back", _nest_namespace),
    Probe("clone3", "clone3(2), whose flags a filter cannot check, is not available", calls("clone3", None, 0)),
    Probe("enter-namespace", "no other namespace can be entered", calls("setns", -1, 0)),
    Probe("io-uring", "io_uring, which bypasses the filter, is not available", calls("io_uring_setup", 0, None)),
    Probe("bpf", "no BPF program can be loaded", calls("bpf", 0, None, 0)),
    Probe("perf", "the kernel's performance events cannot be used", calls("perf_event_open", None, 0, -1, -1, 0)),
    Probe("userfaultfd", "page faults cannot be handled by programs", calls("userfaultfd", -1)),
    Probe("keys", "the kernel's keyrings cannot be reached", calls("keyctl", -1, 0, 0, 0, 0)),
    Probe("file-handles", "files cannot be opened by handles", calls("open_by_handle_at", -1, None, 0)),
    Probe("kernel-module", "no kernel module can be loaded", calls("finit_module", -1, b"", 0)),
    Probe("kernel-log", "the kernel's log cannot be read", calls("syslog", 10, None, 0)),
    Probe("host-name", "the machine's name cannot be changed", calls("sethostname", None, -1)),
    Probe("32-bit-calls", "32-bit system calls, which have other numbers, end the process", _call_32_bits),
    Probe("x32-calls", "x32 system calls, which have other numbers, are refused", _call_x32),
)
