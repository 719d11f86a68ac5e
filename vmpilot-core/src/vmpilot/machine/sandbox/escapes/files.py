"""Probes of the file system."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from .probe import NotTried, Plan, Probe


def _write(path: str) -> str:
    with Path(path).open("a") as file:
        file.write("probe\n")
    return f"wrote to {path}"


def _create(folder: str) -> str:
    path = Path(folder) / "vmpilot-probe"
    path.write_text("probe\n")
    with suppress(OSError):
        path.unlink()
    return f"created a file in {folder}"


def _write_workspace(plan: Plan) -> str | None:
    if plan["level"] == "workspace":
        raise NotTried("the workspace may be changed at this level")
    return _write(f"{plan['workspace']}/file")


def _read_hidden(plan: Plan) -> str | None:
    for path in map(Path, plan["hidden"]):
        with suppress(OSError):
            if list(path.iterdir()) if path.is_dir() else path.read_bytes():
                return f"read {path}"
    return None


def _write_through_link(plan: Plan) -> str:
    return _write(f"{plan['workspace']}/link")


def _write_through_hard_link(plan: Plan) -> str:
    other = Path(plan["workspace"]) / "hard-link"
    os.link(plan["outside"] + "/file", other)
    try:
        return _write(str(other))
    finally:
        other.unlink()


def _change_mode(plan: Plan) -> str:
    folder = Path(plan["outside"])
    folder.chmod(stat.S_IMODE(folder.stat().st_mode))
    return "changed the mode of a folder outside the workspace"


def _change_time(plan: Plan) -> str:
    os.utime(plan["outside"] + "/file")
    return "changed the time of a file outside the workspace"


def _rename_repository(plan: Plan) -> str:
    git = Path(plan["workspace"]) / ".git"
    git.rename(git.with_name("moved"))
    git.with_name("moved").rename(git)
    return "moved .git away"


def _write_any(paths: list[str]) -> str | None:
    """Only open for writing: that changes nothing."""
    for path in paths:
        with suppress(OSError):
            os.close(os.open(path, os.O_WRONLY))
            return f"opened {path} for writing"
    return None


def _make_control_group(_plan: Plan) -> str | None:
    top = Path("/sys/fs/cgroup")
    for folder in (top, *top.glob("*")):
        group = folder / "vmpilot-probe"
        with suppress(OSError):
            group.mkdir()
            group.rmdir()
            return f"made a control group in {folder}"
    return None


def _open_block_device(_plan: Plan) -> str | None:
    for path in Path("/dev").iterdir():
        with suppress(OSError):
            if stat.S_ISBLK(path.stat().st_mode) or path.name in {"mem", "kmsg", "port"}:
                os.close(os.open(path, os.O_RDONLY))
                return f"opened {path}"
    return None


def _make_device(plan: Plan) -> str:
    path = Path(plan["scratch"]) / "device"
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    path.unlink()
    return "made a device"


PROBES = (
    Probe("write-outside", "nothing outside the workspace can be changed", lambda p: _write(p["outside"] + "/file")),
    Probe("create-outside", "nothing outside the workspace can be created", lambda p: _create(p["outside"])),
    Probe("write-home", "the home folder cannot be changed", lambda p: _create(p["home"])),
    Probe("write-etc", "the system's settings cannot be changed", lambda _: _create("/etc")),
    Probe("write-workspace", "at level read the workspace cannot be changed", _write_workspace),
    Probe("git-hook", "no hook can be added to the repository", lambda p: _write(p["workspace"] + "/.git/hooks/probe")),
    Probe(
        "git-nested", "nested repositories are protected, too", lambda p: _write(p["workspace"] + "/a/b/.git/config")
    ),
    Probe("git-replaced", "a repository's .git cannot be moved away", _rename_repository),
    Probe(
        "project-file", "VMPilot's project file cannot be changed", lambda p: _write(p["workspace"] + "/.vmpilot.toml")
    ),
    Probe("symbolic-link", "nothing can be changed through a link in the workspace", _write_through_link),
    Probe("hard-link", "a file outside cannot be linked in and changed", _write_through_hard_link),
    Probe("mode", "modes of files outside cannot be changed", _change_mode),
    Probe("times", "times of files outside cannot be changed", _change_time),
    Probe("secrets", "files with secrets and VMPilot's own folders cannot be read", _read_hidden),
    Probe("sysfs", "kernel settings in /sys cannot be changed", lambda p: _write_any(p["sysfs"])),
    Probe("sysctl", "kernel settings in /proc/sys cannot be changed", lambda p: _write_any(p["sysctl"])),
    Probe("sysrq", "the machine cannot be stopped through /proc", lambda _: _write_any(["/proc/sysrq-trigger"])),
    Probe("control-groups", "no control group can be created", _make_control_group),
    Probe("devices", "disks and kernel memory cannot be read", _open_block_device),
    Probe("make-device", "no device can be created", _make_device),
)
