"""Bash as the judge of rules: whether a line, run for real, runs the program `zap`, which only leaves a mark."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path


class MarkerOracle:
    """A folder with the marker program, and a working folder that is recreated after each line that changed it."""

    def __init__(self, place: Path) -> None:
        self.bin = place / "bin"
        self.root = place / "work"
        self._marks = place / "marks"
        self._home = place / "home"
        self._template = place / "template"
        self._template.mkdir(parents=True)
        (self._template / "a.txt").write_text("one two\nthree four\n")
        (self._template / "z").symlink_to(self.bin / "zap")
        (self._template / "zap").write_text("")
        environment = {**self._environment, "GIT_CONFIG_GLOBAL": "/dev/null"}
        for command in ("init -q", "add a.txt", "-c user.name=a -c user.email=a@b.c commit -qm one"):
            subprocess.run(
                ["git", *command.split()], cwd=self._template, env=environment, check=True, capture_output=True
            )
        self._before: list[tuple[str, int]] | None = None

    def _make_programs(self) -> None:
        """Recreate the marker programs if a line changed them, or added something beside them."""
        text = f"#!/bin/sh\necho mark >> {self._marks}\n"
        for folder in (self.bin, self._home):
            path = folder / "zap"
            alone = folder.is_dir() and [*folder.iterdir()] == [path] and path.is_file() and not path.is_symlink()
            if alone and path.read_text(errors="replace") == text and os.access(path, os.X_OK):
                continue
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
            else:
                folder.unlink(missing_ok=True)
            folder.mkdir()
            path.write_text(text)
            path.chmod(0o755)

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(self._home),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_EDITOR": "true",
        }

    def runs_marker(self, line: str, *, timeout: float = 5.0) -> bool:
        """Run the line as the shell tool does, and return whether the marker program ran."""
        self._make_programs()
        self._make_root()
        self._marks.unlink(missing_ok=True)
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return self._marks.exists()

    def _make_root(self) -> None:
        if self._before is None or self._before != _listing(self.root):
            shutil.rmtree(self.root, ignore_errors=True)
            shutil.copytree(self._template, self.root, symlinks=True)
            self._before = _listing(self.root)


def _listing(root: Path) -> list[tuple[str, int]]:
    found = [(str(path), path.lstat().st_mtime_ns) for path in [root, *root.iterdir()]] if root.is_dir() else []
    config = root / ".git" / "config"
    return sorted(found) + ([(str(config), config.stat().st_mtime_ns)] if config.is_file() else [])
