"""What a probe is, and how one calls the kernel."""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from errno import EACCES, EAFNOSUPPORT, ENOSYS, EPERM
from typing import Any

Plan = dict[str, Any]
"""What `escape_stage` prepared: paths, names, numbers."""

_REFUSALS = {EPERM, EACCES, ENOSYS, EAFNOSUPPORT}


class NotTried(Exception):
    """The probe means nothing here; the text says why."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One way out. `holds` is what is true if it is closed; `attempt` gives what it could do, None for nothing.

    OSError in it means that it was refused.
    """

    name: str
    holds: str
    attempt: Callable[[Plan], str | None]


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call_prctl(option: int) -> int:
    return int(libc().prctl(option, 0, 0, 0, 0))


def call(number: int, *arguments: Any) -> str | None:
    """None if the kernel refused the call; another error means that it looked at the (senseless) arguments."""
    result = libc().syscall(ctypes.c_long(number), *arguments)
    error = ctypes.get_errno()
    if result == -1 and error in _REFUSALS:
        return None
    return "it was carried out" if result != -1 else f"the kernel took it up ({os.strerror(error)})"


def calls(name: str, *arguments: Any) -> Callable[[Plan], str | None]:
    return lambda plan: call(plan["numbers"][name], *arguments)
