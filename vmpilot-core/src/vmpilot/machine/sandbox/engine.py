"""The restrictions that an engine must enforce, and the protocol of engines."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vmpilot.machine.processes.shell_launch import ShellLaunch

_DESCRIPTORS_FROM = 600
"""Above the numbers that scripts use, and the note's."""


class SandboxError(OSError):
    """The sandbox could not be set up, so the command was not started. The message says why."""


@dataclass(frozen=True, slots=True)
class Restrictions:
    """The restrictions of one command.

    It starts in `folder`. It can change only what is in `writable`, except `guarded`, and cannot read what is `hidden`.
    All paths are absolute, exist, and have no links in them.
    """

    folder: Path
    hidden: tuple[Path, ...]
    writable: Path | None = None
    guarded: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Shortcoming:
    """An attack that an engine cannot prevent, as a sentence, and the escape probe that shows it (empty for none)."""

    sentence: str
    probe: str = ""


class Engine(Protocol):
    """A way to confine a command."""

    @property
    def name(self) -> str: ...

    @property
    def shortcomings(self) -> tuple[Shortcoming, ...]: ...

    def confine(self, launch: ShellLaunch, restrictions: Restrictions, resources: ExitStack) -> ShellLaunch:
        """Wrap the launch. Raises `SandboxError` or another OSError."""
        ...


def open_memory(content: bytes, resources: ExitStack) -> int:
    """A memory file with this content, positioned at its start, to pass to a program; closed with `resources`."""
    low = os.memfd_create("vmpilot-sandbox", os.MFD_CLOEXEC)
    try:
        descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _DESCRIPTORS_FROM)
    except OSError:  # the limit on descriptors is lower
        descriptor, low = low, -1
    if low >= 0:
        os.close(low)
    resources.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
