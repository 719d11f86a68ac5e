"""Confinement by Landlock, with the library of the `sandlock` distribution, where namespaces are not available.

Landlock has grants but no exceptions: to hide or protect something, everything else is granted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.sandbox import landlock_start
from vmpilot.machine.sandbox.engine import Restrictions, Shortcoming, open_memory
from vmpilot.machine.sandbox.seccomp import write_filter

_WITHHELD = (Path("/dev"), Path("/run"), Path("/lost+found"))
_READ_DEVICES = ("/dev/random", "/dev/urandom")
_WRITE_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")


@dataclass(frozen=True, slots=True)
class Sandlock:
    """The shared library at `library`; `machine` is the processor's name as in uname(2); `python` runs the start.

    The layers are fields so that tests can disable each; otherwise all are on.
    """

    library: Path
    machine: str
    python: str
    landlock: bool = True
    filters: bool = True

    @property
    def name(self) -> str:
        return f"sandlock ({self.library.parent})"

    @property
    def shortcomings(self) -> tuple[Shortcoming, ...]:
        return (
            Shortcoming("other processes are visible (names and arguments), but cannot be changed", "see-processes"),
            Shortcoming("at level workspace, the times of all files can be changed", "times"),
            Shortcoming("folders that contain something hidden (/, the home folder) cannot be listed"),
            Shortcoming("no files can be created directly in a folder with a .git, only changed"),
            Shortcoming("modes and owners cannot be changed in the workspace, so `sed -i` and `cp -p` may fail"),
        )

    def confine(self, launch: ShellLaunch, restrictions: Restrictions, resources: ExitStack) -> ShellLaunch:
        scratch = tempfile.mkdtemp(prefix="vmpilot-")
        resources.callback(shutil.rmtree, scratch, ignore_errors=True)
        changeable: list[str] = []
        if restrictions.writable is not None:
            changeable = _granted(restrictions.writable, (*restrictions.guarded, *restrictions.hidden))
        code = write_filter(
            self.machine, namespaces=False, keeps_metadata=True, keeps_times=restrictions.writable is None
        )
        plan = landlock_start.Plan(
            library=os.fsencode(self.library) if self.landlock else b"",
            filter_code=code if self.filters else b"",
            readable=_encoded([*_granted(Path("/"), (*_WITHHELD, *restrictions.hidden)), *_READ_DEVICES]),
            writable=_encoded([scratch, *_WRITE_DEVICES, *changeable]),
            program=os.fsencode(launch.program),
            arguments=list(launch.arguments),
        )
        descriptor = open_memory(plan.encode(), resources)
        start = os.fsencode(landlock_start.__file__)
        return replace(
            launch,
            program=self.python,
            arguments=(os.fsencode(self.python), b"-I", b"-S", start, b"%d" % descriptor),
            variables={**launch.variables, "TMPDIR": scratch},
            descriptors=(*launch.descriptors, descriptor),
        )


def _encoded(paths: list[str]) -> list[bytes]:
    return list(map(os.fsencode, paths))


def _granted(folder: Path, exceptions: Collection[Path]) -> list[str]:
    """The folder, or everything below it that is neither an exception nor above one. No links: grants follow them."""
    left_out = set(map(str, exceptions))
    above = {str(parent) for exception in exceptions for parent in exception.parents}
    granted: list[str] = []
    pending = [str(folder)]
    while pending:
        path = pending.pop()
        if path in left_out:
            continue
        if path not in above:
            granted.append(path)
            continue
        with suppress(OSError), os.scandir(path) as entries:
            pending += [entry.path for entry in entries if not entry.is_symlink()]
    return granted
