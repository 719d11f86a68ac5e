"""The remotes of a git repository, read from its files. Git itself, which may run other programs, is not run."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

_MOST = 256 * 1024
_SECTION = re.compile(r'\[\s*remote\s+"((?:[^"\\]|\\.)*)"\s*\]\s*(.*)', re.IGNORECASE)
_URL = re.compile(r"url\s*=\s*(.*)", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|([^"#;]+)|[#;].*')


def read_remotes(folder: Path) -> Mapping[str, str]:
    """Each remote's name and URL in the repository that contains the folder, if any."""
    for place in (folder, *folder.parents):
        if (config := _find_config(place / ".git")) is not None:
            return dict(_parse(config))
    return {}


def _find_config(git: Path) -> str | None:
    """The configuration; `.git` is a folder, or a file that names one (a worktree, a submodule)."""
    if (pointer := _read(git)) is not None and pointer.startswith("gitdir:"):
        git = git.parent / pointer.removeprefix("gitdir:").strip()
        if (common := _read(git / "commondir")) is not None:
            git /= common.strip()
    return _read(git / "config")


def _read(path: Path) -> str | None:
    """A regular file's text; never waits for a pipe or opens a device."""
    try:
        if not path.is_file():
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(_MOST).decode(errors="replace")


def _parse(config: str) -> Iterator[tuple[str, str]]:
    """The first `url` of each `[remote "NAME"]`; format: git-config(1)."""
    seen: set[str] = set()
    remote: str | None = None
    for raw in config.splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = _SECTION.match(line)
            remote, line = (_unescape(section[1]), section[2]) if section else (None, "")
        if remote is not None and remote not in seen and (found := _URL.match(line)):
            seen.add(remote)
            parts = _QUOTED.finditer(found[1])  # quoted text, plain text, or a comment
            yield (
                remote,
                "".join(_unescape(part[1]) if part[1] is not None else part[2] or "" for part in parts).strip(),
            )


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
