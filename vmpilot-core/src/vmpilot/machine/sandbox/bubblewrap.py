"""Confinement by namespaces: the command line of bwrap(1). It neither finds nor tests the program.

Two flags are left out: `--clearenv`, because the environment is already the command's, and `--die-with-parent`, which
would end background processes before their last output is read (`run_command` ends them, even if VMPilot dies).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.sandbox.engine import Restrictions, Shortcoming, open_memory
from vmpilot.machine.sandbox.seccomp import write_filter

TEMPORARY_FOLDER = "/run/tmp"
_TEMPORARY_SIZE = 1 << 30  # bytes

NAMESPACES = ("--unshare-all", "--unshare-user", "--disable-userns", "--new-session")
PRIVILEGES = ("--cap-drop", "ALL")
_FILES = (
    *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
    # /proc/sys belongs to root, capabilities or not
    *("--remount-ro", "/proc"),
    *("--perms", "0755", "--size", str(_TEMPORARY_SIZE), "--tmpfs", "/run", "--perms", "1777", "--dir"),
    TEMPORARY_FOLDER,
)
_WITHOUT_CORE_FILES = b'ulimit -c 0; exec "$@"'


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """The bwrap program at `path`; `machine` is the processor's name as in uname(2).

    The layers are fields so that tests can disable each; otherwise all are on.
    """

    path: Path
    machine: str
    privileges: tuple[str, ...] = PRIVILEGES
    namespaces: tuple[str, ...] = NAMESPACES
    filters: bool = True

    @property
    def name(self) -> str:
        return f"bubblewrap ({self.path})"

    @property
    def shortcomings(self) -> tuple[Shortcoming, ...]:
        return ()

    def confine(self, launch: ShellLaunch, restrictions: Restrictions, resources: ExitStack) -> ShellLaunch:
        options = [*self.namespaces, *self.privileges, *_FILES, *_write_mounts(restrictions)]
        options += ["--chdir", str(restrictions.folder)]
        handed: list[int] = []
        if self.filters:
            handed.append(open_memory(write_filter(self.machine, namespaces=True), resources))
            options += ["--seccomp", str(handed[0])]
        handed.append(open_memory(b"".join(os.fsencode(option) + b"\0" for option in options), resources))
        shell = (b"--", b"/bin/sh", b"-c", _WITHOUT_CORE_FILES, b"sh", *launch.arguments)
        return replace(
            launch,
            program=str(self.path),
            arguments=(b"bwrap", b"--args", b"%d" % handed[-1], *shell),
            variables={**launch.variables, "TMPDIR": TEMPORARY_FOLDER},
            descriptors=(*launch.descriptors, *handed),
        )


def _write_mounts(restrictions: Restrictions) -> Iterable[str]:
    """Later mounts cover earlier ones, so hidden paths come last."""
    if restrictions.writable is not None:
        yield from ("--bind", str(restrictions.writable), str(restrictions.writable))
    for path in restrictions.guarded:
        yield from ("--ro-bind", str(path), str(path))
    for path in restrictions.hidden:
        if path.is_dir():
            yield from ("--perms", "0000", "--tmpfs", str(path))
        else:
            yield from ("--ro-bind", "/dev/null", str(path))  # a device, which the mount forbids to open
