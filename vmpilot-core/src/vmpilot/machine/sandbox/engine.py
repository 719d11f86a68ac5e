"""What an engine has to keep to, and what every engine offers; no engine is in here."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vmpilot.machine.processes.shell_launch import ShellLaunch

_DESCRIPTORS_FROM = 600
"""Far from the numbers that scripts choose for themselves, and from the note's."""


class SandboxError(OSError):
    """A sandbox could not be set up as it must be; the command was not started. The message says why."""


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What one command may do.

    It begins in `folder`. Nothing can be changed but in `writable`, and there nothing of what is `guarded`. What is
    `hidden` cannot be read. All paths are absolute, exist, and have no links in them.
    """

    folder: Path
    hidden: tuple[Path, ...]
    writable: Path | None = None
    guarded: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Shortcoming:
    """What an engine cannot hold, as a sentence, and the escape probe that shows it (empty for none)."""

    sentence: str
    probe: str = ""


class Engine(Protocol):
    """A way to keep a command within restrictions."""

    @property
    def name(self) -> str: ...

    @property
    def shortcomings(self) -> tuple[Shortcoming, ...]: ...

    def confine(self, launch: ShellLaunch, restrictions: Restrictions, resources: ExitStack) -> ShellLaunch:
        """Wrap the planned start. Raises `SandboxError`, OSError where that cannot be done."""
        ...


def open_memory(content: bytes, resources: ExitStack) -> int:
    """A memory file with this content, at its beginning, to be handed to a program; closed with `resources`."""
    import fcntl

    low = os.memfd_create("vmpilot-sandbox", os.MFD_CLOEXEC)
    try:
        descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _DESCRIPTORS_FROM)
    except OSError:  # the limit on descriptors is lower than that
        descriptor, low = low, -1
    if low >= 0:
        os.close(low)
    resources.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
