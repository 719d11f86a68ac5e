"""Keeps this process's memory and environment from other programs of the same user."""

from __future__ import annotations

import sys
from contextlib import suppress

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def refuse_inspection() -> None:
    """Forbid other processes of this user to read this one's memory and environment, and to trace it (prctl(2)).

    `/proc/PID/environ` shows the environment as it was when the program started, whatever was removed from it later,
    so this is what keeps keys from commands that run outside the sandbox. A program that this process starts is not
    affected: the kernel resets it on execve(2). It costs core dumps, and debuggers need CAP_SYS_PTRACE.
    """
    if sys.platform != "linux":
        return
    with suppress(ImportError, OSError, AttributeError):  # a Python without ctypes, or a libc without prctl
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
