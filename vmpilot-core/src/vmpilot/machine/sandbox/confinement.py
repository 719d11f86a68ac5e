"""The sandbox: from a level, a folder and a workspace to a confined launch."""

from __future__ import annotations

import sys
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, assert_never

from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.sandbox.engine import Engine, Restrictions, SandboxError, Shortcoming
from vmpilot.machine.sandbox.hidden_paths import HiddenPaths
from vmpilot.machine.sandbox.repositories import survey
from vmpilot.machine.workspace import show_name, surrounding_repository

Level: TypeAlias = Literal["read", "workspace"]

PROJECT_FILE = ".vmpilot.toml"
_GUARDED_NAMES = (".git", PROJECT_FILE)
_MOST_GUARDED = 64
"""Each is a mount, which takes at least half a millisecond."""
_LOOK_SECONDS = 0.1
_MOST_SHOWN = 5
_OWN_PROGRAM = (Path(__file__).parents[2], Path(sys.prefix))
"""VMPilot and its environment run outside the sandbox, even if they are in the workspace."""
_NOT_THERE = (Path("/run"), Path("/dev"), Path("/proc"))
_SYSTEM = tuple(
    Path(name)
    for name in (
        *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr/bin"),
        *("/usr/include", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/sbin", "/usr/share"),
        *("/usr/local/bin", "/usr/local/etc", "/usr/local/lib", "/usr/local/sbin", "/var/lib/dpkg", "/var/spool"),
    )
)
_REMARK = (
    "ran in a sandbox: only {writable} can be changed, there is no network, "
    "and other processes, /run and files with secrets are hidden"
)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that was tested and works. It keeps no state between commands."""

    engine: Engine
    hidden_paths: HiddenPaths

    @property
    def name(self) -> str:
        """Its kind and location, for the user."""
        return self.engine.name

    @property
    def shortcomings(self) -> tuple[Shortcoming, ...]:
        """Attacks that it cannot prevent."""
        return self.engine.shortcomings

    def refusal(self, root: Path) -> str | None:
        """Why commands must not change this workspace, None if they may."""
        root = root.resolve()
        homes = self.hidden_paths.homes()
        for home in homes:
            if root == home or root in home.parents:
                return f"{root} is or contains the home folder {home}; use a separate folder (--cwd)"
        for system in _SYSTEM:
            if root == system or system in root.parents or root in system.parents:
                return f"{root} is part of the system ({system}); use a separate folder (--cwd)"
        if repository := surrounding_repository(str(root)):
            return f"{root} is inside the git repository {repository}; use its working tree (--cwd)"
        for hidden in self.hidden_paths.hidden():
            if root == hidden or hidden in root.parents:
                return f"{root} is hidden from commands because it may hold secrets; use another folder (--cwd)"
        return None

    def confine(
        self, launch: ShellLaunch, *, confinement: Level, folder: Path, root: Path, resources: ExitStack
    ) -> ShellLaunch:
        """Wrap the launch so that the command starts in `folder` and is confined.

        Level `read` changes nothing; `workspace` changes what is in `root`, except repositories' `.git` and project
        files. `resources` keeps what the sandbox needs until the command ends. Raises `SandboxError` (an
        OSError) if it cannot be confined; the command must then not be started.
        """
        folder, root = folder.resolve(), root.resolve()
        hidden = tuple(self.hidden_paths.hidden())
        self._check_folder(folder, hidden)
        restrictions = Restrictions(folder=folder, hidden=hidden)
        remark, notice = _REMARK.format(writable="$TMPDIR"), launch.notice
        match confinement:
            case "read":
                pass
            case "workspace":
                restrictions = self._open_workspace(restrictions, root)
                notice = partial(_new_repositories, root, restrictions.guarded)
                remark = _REMARK.format(writable=f"{root} (except its .git) and $TMPDIR")
            case _:
                assert_never(confinement)
        confined = self.engine.confine(launch, restrictions, resources)
        remark = remark if launch.remark is None else f"{launch.remark}; {remark}"
        return replace(confined, remark=remark, notice=notice)

    def _check_folder(self, folder: Path, hidden: tuple[Path, ...]) -> None:
        within = [*folder.parents, folder]
        if not folder.is_dir():
            raise SandboxError(f"the working folder {folder} no longer exists; change to another one")
        for path in (*hidden, *_NOT_THERE):
            if path in within:
                raise SandboxError(f"the working folder {folder} is hidden in the sandbox; change to another one")

    def _open_workspace(self, restrictions: Restrictions, root: Path) -> Restrictions:
        if refusal := self.refusal(root):
            raise SandboxError(f"not run: {refusal}")
        found = survey(root, _GUARDED_NAMES, seconds=_LOOK_SECONDS)
        own = (program for program in map(Path.resolve, _OWN_PROGRAM) if program.is_relative_to(root))
        guarded = (*found.guarded, *found.unseen, *own)
        if root in guarded:
            raise SandboxError(
                f"not run: {root} cannot be made writable; it is a repository without a working tree, or cannot be read"
            )
        if len(guarded) > _MOST_GUARDED:
            raise SandboxError(
                f"not run: {root} contains more than {_MOST_GUARDED} repositories to protect; use one of them (--cwd)"
            )
        return replace(restrictions, writable=root, guarded=guarded)


def _new_repositories(root: Path, guarded: Collection[Path]) -> str | None:
    """A notice of repositories that were not in the workspace before: git may run programs of theirs."""
    found = survey(root, [".git"], seconds=_LOOK_SECONDS).guarded
    new = [path.parent if path.name == ".git" else path for path in found if path not in guarded]
    if not new:
        return None
    shown = ", ".join(show_name(str(path)) for path in new[:_MOST_SHOWN])
    more = f" and {len(new) - _MOST_SHOWN} more" if len(new) > _MOST_SHOWN else ""
    return f"new git repository: {shown}{more}; its configuration and hooks run programs when git is used there"
