"""The repository that a call names, or that the working folder was cloned from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vmpilot.contract import ToolError
from vmpilot.tools.github._git_config import read_remotes

_PART = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_SCP = re.compile(r"(?:[^/@:]+@)?(\[[^]]+\]|[^/:@]+):(?!//)/?(.+)", re.DOTALL)
_NAME_IT = "Specify `repository` (OWNER/NAME)."


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository by its owner and name."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/repos/{self.owner}/{self.name}"


def read_repository(text: str) -> Repository:
    """Read OWNER/NAME. Raises `ToolError`."""
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
    """The host of a GitHub's pages and remotes, from the address of its API: `github.com` for `api.github.com`."""
    host = (urlsplit(api_url).hostname or "").lower()
    hosted = host == "api.github.com" or (host.startswith("api.") and host.endswith(".ghe.com"))
    return host.removeprefix("api.") if hosted else host


def _read_remote(url: str, host: str) -> Repository | None:
    """The repository of a remote's URL, None if it is not on the host."""
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
