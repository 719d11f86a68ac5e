"""Lasting approvals: trusted project files, and rules that were saved with "always".

They are in a small file beside the user's configuration, which no project can write.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from vmpilot.contract import UsageError

FILE_NAME = "approvals.json"


class Approvals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`trusted`: a project file's path to the SHA-256 of its trusted content; `rules`: a folder to its saved rules."""

    trusted: dict[str, str] = {}
    rules: dict[str, tuple[str, ...]] = {}

    def trusts(self, project_file: Path, content: bytes) -> bool:
        """Whether the file was trusted with exactly this content."""
        return self.trusted.get(str(project_file)) == _digest(content)


class ApprovalsFile:
    """Reads and changes the approvals in the user's configuration folder."""

    def __init__(self, config_folder: Path) -> None:
        self.path = config_folder / FILE_NAME

    def read(self) -> Approvals:
        """The approvals; none if there is no file. Raises `UsageError` for a file that cannot be read."""
        try:
            return msgspec.convert(json.loads(self.path.read_bytes()), Approvals)
        except FileNotFoundError:
            return Approvals()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"Cannot read your approvals in {self.path}: {error}. Correct or delete the file."
            ) from error

    def save_rules(self, folder: Path, rules: tuple[str, ...]) -> None:
        """Add rules for `folder`. Raises `UsageError` if they cannot be written."""
        with self._changing() as approvals:
            saved = approvals.rules.get(str(folder), ())
            approvals.rules[str(folder)] = tuple(dict.fromkeys((*saved, *rules)))

    def trust(self, project_file: Path, content: bytes) -> None:
        """Let the project's file allow more than the user's own file, as long as it has this content."""
        with self._changing() as approvals:
            approvals.trusted[str(project_file)] = _digest(content)

    def forget(self, folder: Path, project_file: Path | None) -> None:
        """Remove the approvals for the folder."""
        with self._changing() as approvals:
            approvals.rules.pop(str(folder), None)
            approvals.trusted.pop(str(project_file), None)

    @contextmanager
    def _changing(self) -> Iterator[Approvals]:
        """The approvals, to be changed in place. They are locked, because programs may do this at once."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                approvals = self.read()
                yield approvals
                self._write(approvals)
        except OSError as error:
            raise UsageError(f"Cannot save your approval in {self.path}: {error.strerror or error}") from error

    def _write(self, approvals: Approvals) -> None:
        text = json.dumps(msgspec.to_builtins(approvals), indent=2) + "\n"
        with tempfile.NamedTemporaryFile("w", dir=self.path.parent, delete=False) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(self.path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
