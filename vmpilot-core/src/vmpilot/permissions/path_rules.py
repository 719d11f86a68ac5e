"""Which files may hold secrets, which may run by themselves, and what is outside the workspace.

It checks real paths: links are followed first. It reads no file. It also checks where programs are found.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from vmpilot.machine.workspace import endangered_repository, surrounding_repository

_SECRET = re.compile(
    r"(?:^|/)environ$|\.env$|shadow-?$|opasswd|htpasswd|(?:^|/)id_(?:rsa|dsa|ecdsa|ed25519|xmss)"
    r"|\.(?:pem|key|p12|pfx|jks|ppk|gpg|kdbx|keytab|keystore|tfstate)(?:$|[./~-])"
    r"|_key(?![a-z])|secret|password|credential|private|token|cookie|wireguard"
    r"|system-connections|kubeconfig",
    re.IGNORECASE,
)
_PLAIN_SOURCE = re.compile(r"\.(?:py|pyi|js|jsx|ts|tsx|go|rs|c|h|cc|cpp|hpp|java|kt|rb|php|css|html|md|rst)$")
"""Source and documentation: a name like `tokens.py` says what they are about, not that they hold one."""

_SYSTEM = re.compile(
    r"/dev(?:/|$)(?!null$|zero$)|/proc(?:/|$)(?!(?:cpuinfo|meminfo|loadavg|uptime|version|mounts|self/mounts)$)|/inet"
)
_HIDDEN = re.compile(r"(?:^|/)(\.[^/]+)")
_READABLE_HIDDEN = re.compile(
    r"\.(?:github|gitignore|gitattributes|gitmodules|gitlab-ci\.yml|gitkeep|editorconfig|dockerignore|npmignore|nvmrc"
    r"|eslintrc|prettierrc|prettierignore|stylelintrc|babelrc|eslintignore|flake8|pylintrc|coveragerc|ruff\.toml|mypy\.ini"
    r"|importlinter|pre-commit-config\.yaml|python-version|node-version|tool-versions|clang-format|clang-tidy|rubocop\.yml"
    r"|travis\.yml|circleci|ci|vscode|devcontainer|husky|readthedocs\.ya?ml|markdownlint|env\.(?:example|sample|template))"
    r"(?:\.(?:json|js|cjs|mjs|ya?ml))?"
)
"""Hidden names that may be read inside the workspace like any other."""
_CHANGEABLE_HIDDEN = re.compile(
    r"\.(?:github|gitignore|gitkeep|editorconfig|dockerignore|npmignore|nvmrc|prettierrc(?:\.json|\.ya?ml)?|prettierignore"
    r"|eslintignore|eslintrc\.json|flake8|coveragerc|python-version|node-version|env\.(?:example|sample|template))"
)
"""Hidden names that may be changed inside the workspace like any other: nothing runs them automatically."""

_WIDE = re.compile(r"/|/(?:etc|run|root|boot|sys|proc|dev|home(?:/[^/]+)?|var(?:/(?:lib|backups|run|spool))?)")
_WIDE_BELOW = re.compile(r"/(?:etc|run|boot|sys|proc|dev|var/(?:run|backups))(?:/.*)?")
"""Folders that are not searched whole: they contain secrets of other users and of the system."""
_SEARCHABLE = re.compile(r"/(?:var/log|usr|opt|lib)(?:/.*)?")
_SYSTEM_ROOT = re.compile(
    r"/|/(?:bin|boot|dev|etc|lib\w*|proc|run|sbin|sys|usr/(?:local/)?(?:bin|etc|include|lib\w*|sbin|share))(?:/.*)?"
    r"|/(?:home|usr|usr/local|var|var/(?:lib|spool|run)(?:/.*)?)"
)
_HOME = re.compile(r"/root|/home/[^/]+")
_HIDDEN_BY_SANDBOX = re.compile(r"/(?:run|var/run|dev/shm)(?:/.*)?")


class Unresolvable(Exception):
    """A path goes through a link that cannot be read, so its target is unknown. The message names it."""


def resolve(path: str | Path) -> str:
    """The absolute path with all links followed, as far as it exists. Raises `Unresolvable`.

    Not every link can be read, also by root: `/proc/PID/exe` of another user's process, or of one that has ended.
    """
    try:
        return os.path.realpath(path)
    except (OSError, ValueError) as error:
        raise Unresolvable(f"{path} goes through a link that cannot be read") from error


def is_folder(path: str | Path) -> bool:
    """Whether it is a folder, or a link to one; False if that cannot be checked."""
    try:
        return stat.S_ISDIR(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


class PathRules:
    """Checks paths for work in the workspace `root`; `own` are VMPilot's folders, never changed unasked.

    `private` are files and folders that are not even read unasked, `search_path` is the PATH of commands, `home` their
    HOME. The methods take absolute paths and return the reason not to do it unasked, or None.
    """

    def __init__(
        self,
        root: Path,
        own: Iterable[Path] = (),
        *,
        private: Iterable[Path] = (),
        search_path: str = "",
        home: str = "",
    ) -> None:
        self.home = home
        self.root = resolve(root)
        self._private = tuple(resolve(place) for place in private)
        self._own = (*(resolve(folder) for folder in own), *self._private)
        self._search_path = search_path

    def objection_to_reading(self, path: str) -> str | None:
        """Why not to read the file, or list the folder."""
        if _SYSTEM.match(path):
            return f"{path} exposes system internals"
        if any(_within(path, place) for place in self._private):
            return f"{path} may hold secrets"
        inner = self._inner(path)
        shown = path if inner is None else inner
        if any(inner is None or not _READABLE_HIDDEN.fullmatch(name) for name in _HIDDEN.findall(shown)):
            return f"{path} is hidden"
        if _SECRET.search(shown) and (inner is None or not _PLAIN_SOURCE.search(inner)):
            return f"{path} may hold secrets"
        return None

    def objection_to_searching(self, folder: str) -> str | None:
        """Why not to read all files below the folder (or the one file that it is)."""
        if reason := self.objection_to_reading(folder):
            return reason
        if _WIDE.fullmatch(folder) or _WIDE_BELOW.fullmatch(folder):
            return f"{folder} may contain secrets"
        if self._inner(folder) is None and not _SEARCHABLE.fullmatch(folder):
            return f"{folder} is outside the workspace"
        return f"{folder} may contain secrets" if any(_within(place, folder) for place in self._private) else None

    def objection_to_changing(self, path: str) -> str | None:
        """Why not to make or change the file."""
        inner = self._inner(path)
        if inner is None:
            return f"{path} is outside the workspace"
        if not inner:
            return f"{path} is the workspace itself"
        if repository := surrounding_repository(self.root):
            return f"The workspace {self.root} is inside the git repository {repository}, whose files can run programs"
        if _SYSTEM_ROOT.fullmatch(self.root):
            return f"The workspace {self.root} is a system folder"
        return self._objection_to_changing_inside(path, inner)

    def _objection_to_changing_inside(self, path: str, inner: str) -> str | None:
        if any(not _CHANGEABLE_HIDDEN.fullmatch(name) for name in _HIDDEN.findall(inner)):
            return f"{path} is protected: hidden files may run automatically"
        if repository := endangered_repository(path, self.root):
            return (
                f"{path} is protected: {repository} is or would become a git repository, whose files can run programs"
            )
        if _HOME.fullmatch(self.root) and re.match(r"bin(?:/|$)", inner):
            return f"{path} is protected: programs in it may be on the PATH"
        if any(_within(path, own) or _within(own, path) for own in self._own):
            return f"{path} is protected: it belongs to VMPilot"
        return f"{path} has a hard link that may be outside the workspace" if _has_hard_links(path) else None

    def objection_to_running(self, program: str) -> str | None:
        """Why not to trust the program by its name: it is inside the workspace, whatever it is called."""
        for folder in self._search_path.split(os.pathsep):
            found = shutil.which(program, path=folder) if folder.startswith("/") else None
            if found is None:
                continue
            try:
                inside = self.is_inside(resolve(folder)) or self.is_inside(resolve(found))
            except Unresolvable as problem:
                return str(problem)
            return f"The program {found} is inside the workspace" if inside else None
        return None

    def is_hidden_by_sandbox(self, path: str) -> bool:
        """Whether a sandboxed command sees something else there."""
        return bool(_HIDDEN_BY_SANDBOX.fullmatch(path))

    @property
    def objection_to_confined_changes(self) -> str | None:
        """Why not to let sandboxed commands change the workspace."""
        if _SYSTEM_ROOT.fullmatch(self.root) or _HOME.fullmatch(self.root):
            return f"The workspace {self.root} is a home or system folder; use a separate folder (--cwd)"
        if repository := surrounding_repository(self.root):
            return f"The workspace {self.root} is inside the git repository {repository}; use its working tree (--cwd)"
        return None

    def is_inside(self, path: str) -> bool:
        """Whether it is the workspace or something in it."""
        return self._inner(path) is not None

    def _inner(self, path: str) -> str | None:
        """The path relative to the workspace, None outside."""
        return path[len(self.root) :].lstrip("/") if _within(path, self.root) else None


def _has_hard_links(path: str) -> bool:
    """Whether it is a file with hard links: writing to it changes all of them."""
    try:
        facts = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
