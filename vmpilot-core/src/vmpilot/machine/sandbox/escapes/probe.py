"""Probes, and calls to the kernel."""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from errno import EACCES, EAFNOSUPPORT, ENOSYS, EPERM
from typing import Any

Plan = dict[str, Any]
"""What `escape_tests` prepared: paths, names, numbers."""

_REFUSALS = {EPERM, EACCES, ENOSYS, EAFNOSUPPORT}


class NotTried(Exception):
    """The probe does not apply here; the text says why."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One way out. `holds` is the claim if it is blocked; `attempt` returns what it could do, None if nothing.

    An OSError in it means that it was blocked.
    """

    name: str
    holds: str
    attempt: Callable[[Plan], str | None]


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call_prctl(option: int) -> int:
    return int(libc().prctl(option, 0, 0, 0, 0))


def call(number: int, *arguments: Any) -> str | None:
    """None if the kernel refused the call; any other error means that it checked the (invalid) arguments."""
    result = libc().syscall(ctypes.c_long(number), *arguments)
    error = ctypes.get_errno()
    if result == -1 and error in _REFUSALS:
        return None
    return "the call succeeded" if result != -1 else f"the kernel accepted the call ({os.strerror(error)})"


def calls(name: str, *arguments: Any) -> Callable[[Plan], str | None]:
    return lambda plan: call(plan["numbers"][name], *arguments)
