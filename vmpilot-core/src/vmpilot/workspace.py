"""The working folder of a conversation. Resolves paths; knows nothing of permissions."""

from __future__ import annotations

from pathlib import Path

from vmpilot.contract import UsageError


class Workspace:
    """The folder that a conversation belongs to (`root`) and the one in which its next command starts (`folder`)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = root

    @classmethod
    def at(cls, path: Path) -> Workspace:
        """Raises `UsageError` where `path` is no folder."""
        try:
            resolved = path.expanduser().resolve()
            is_folder = resolved.is_dir()
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long, no such user, NUL
            is_folder = False
        if not is_folder:
            raise UsageError(f"{path} is no folder: give an existing one with --cwd")
        return cls(resolved)

    @property
    def folder(self) -> Path:
        """Where the next command starts; the root again once a command's folder has been deleted."""
        return self._folder if self._folder.is_dir() else self.root

    def move_to(self, folder: Path) -> None:
        """Commands start in `folder` from here on."""
        self._folder = folder
