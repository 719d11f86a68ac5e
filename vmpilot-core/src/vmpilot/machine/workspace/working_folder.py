"""The working folder of a conversation. It resolves paths and knows no permissions."""

from __future__ import annotations

import os
from pathlib import Path

from vmpilot.contract import UsageError
from vmpilot.machine.workspace.names import follow_look_alikes, read_name, show_name


class Workspace:
    """The folder that a conversation belongs to (`root`) and the one in which its next command starts (`folder`)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = root

    @classmethod
    def at(cls, path: Path) -> Workspace:
        """Raises `UsageError` if `path` is not a folder."""
        try:
            resolved = path.expanduser().resolve()
            is_folder = resolved.is_dir()
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long, no such user, NUL
            is_folder = False
        if not is_folder:
            raise UsageError(f"{path} is not a folder; pass an existing one with --cwd")
        return cls(resolved)

    @property
    def folder(self) -> Path:
        """Where the next command starts; the root if that folder was deleted."""
        return self._folder if self._folder.is_dir() else self.root

    def move_to(self, folder: Path) -> None:
        """Start commands in `folder` from now on."""
        self._folder = folder

    def resolve(self, text: str) -> Path:
        """The absolute path that `text` means in `folder`: `~` expanded, links and `..` followed as far as they exist.

        A name that is not UTF-8 may be given as `show_name` shows it, unless a file has just that name. A missing name
        means the only one in its folder that looks the same (`describe_look_alike` says how it differs). Permissions
        are decided on the result; `descriptors` opens it without following a link that was put there since. Raises
        ValueError for NUL, OSError for a link that cannot be read.
        """
        plain = self._follow(text)
        if "\\x" in text and not os.path.lexists(plain):
            meant = self._follow(read_name(text))
            if os.path.lexists(meant) or (meant.parent.is_dir() and not plain.parent.is_dir()):
                return meant
        if os.path.lexists(plain):
            return plain
        alike = follow_look_alikes(plain)
        return plain if alike is None else Path(os.path.realpath(alike))

    def show(self, path: Path) -> str:
        """`path` as shown to the user: relative if it is in `folder`, else absolute."""
        folder = self.folder
        return show_name(str(path.relative_to(folder) if path.is_relative_to(folder) else path))

    def _follow(self, text: str) -> Path:
        if "\0" in text:
            raise ValueError("a path cannot contain NUL")
        return Path(os.path.realpath(self.folder / os.path.expanduser(text)))  # noqa: PTH111  ~unknown is kept
