"""The repository named in a call, or from which the working folder was cloned.

It is read from git's files, without running git, which may run other programs.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vmpilot.contract import ToolError

_PART = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_SCP = re.compile(r"(?:[^/@:]+@)?(\[[^]]+\]|[^/:@]+):(?!//)/?(.+)", re.DOTALL)
_NAME_IT = "Specify `repository` (OWNER/NAME)."


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, identified by owner and name."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/repos/{self.owner}/{self.name}"


def read_repository(text: str) -> Repository:
    """Parse OWNER/NAME. Raises `ToolError`."""
    owner, slash, name = text.strip().partition("/")
    if not slash or not all(_PART.fullmatch(part) and part.strip(".") for part in (owner, name)):
        raise ToolError(f"Expected OWNER/NAME as repository, not {text[:200]!r}.")
    return Repository(owner, name)


def find_repository(folder: Path, host: str) -> Repository:
    """The repository of the folder's remote on this host: `origin`, or else the only one. Raises `ToolError`."""
    remotes = read_remotes(folder)
    if not remotes:
        raise ToolError(f"The working folder is not in a git repository with a remote. {_NAME_IT}")
    there = {name: found for name, url in remotes.items() if (found := _read_remote(url, host)) is not None}
    if "origin" in there:
        return there["origin"]
    if len(set(there.values())) == 1:
        return next(iter(there.values()))
    if there:
        listed = ", ".join(f"{repository} ({name})" for name, repository in there.items())
        raise ToolError(f"The working folder has several remotes: {listed}. {_NAME_IT}")
    raise ToolError(f"None of the working folder's remotes ({', '.join(remotes)}) is on {host}. {_NAME_IT}")


def web_host(api_url: str) -> str:
    """The host of a GitHub's web pages and remotes, from its API's address: `github.com` for `api.github.com`."""
    host = (urlsplit(api_url).hostname or "").lower()
    hosted = host == "api.github.com" or (host.startswith("api.") and host.endswith(".ghe.com"))
    return host.removeprefix("api.") if hosted else host


def _read_remote(url: str, host: str) -> Repository | None:
    """The repository of a remote's URL, or None if it is not on the host."""
    try:
        parts = urlsplit(url)
        if "://" in url:
            found, path = parts.hostname or "", parts.path
        elif scp := _SCP.fullmatch(url):
            found, path = scp[1].strip("[]"), scp[2]
        else:
            return None
    except ValueError:
        return None
    if found.lower() not in {host, f"ssh.{host}", f"www.{host}"}:
        return None
    try:
        return read_repository(path.strip("/").removesuffix(".git"))
    except ToolError:
        return None


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
    """The configuration; `.git` is a folder, or a file with the path of one (a worktree, a submodule)."""
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
