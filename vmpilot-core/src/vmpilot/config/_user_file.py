"""Changes single keys of the user's configuration file; comments and order are kept."""

from __future__ import annotations

import fcntl
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vmpilot.config._settings import Settings
from vmpilot.config._sources import DESCRIPTIONS, convert_setting
from vmpilot.contract import UsageError

PRIVATE_KEYS = frozenset({"api_key", "database_url"})
"""Settings with secret values; a file that contains one is readable only by its owner."""


class UserFile:
    """The file at `path`, which need not exist. If it is a link, its target is changed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def set_value(self, key: str, text: str, *, check: Callable[[str, Any], None] = lambda _key, _value: None) -> Any:
        """Set a key and return the value as it is in the file.

        `text` is the value itself or TOML (`true`, `40`, `["shell", "jobs"]`), whichever the setting takes. `check` may
        reject a value of the right type. Raises `UsageError` for an unknown key, an invalid value, and a file that
        cannot be changed.
        """
        value = _read_value(key, text)
        check(key, value)
        with self._changing(private=key in PRIVATE_KEYS) as document:
            document[key] = value
        return value

    def unset_value(self, key: str) -> bool:
        """Remove a key, even an unknown one; return whether it was set. Raises `UsageError` as above."""
        with self._changing() as document:
            return document.pop(key, None) is not None

    @contextmanager
    def _changing(self, *, private: bool = False) -> Iterator[MutableMapping[str, Any]]:
        """The parsed file, to be changed in place; the file is then replaced as a whole."""
        import tomlkit  # slow (30 ms), and needed only here
        from tomlkit.exceptions import TOMLKitError

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                before = self._path.read_bytes().decode() if self._path.exists() else ""
                document = tomlkit.parse(before)
                yield document
                after = tomlkit.dumps(document)
                if after != before:
                    _replace(self._path.resolve(), after, private=private)
        except OSError as error:
            raise UsageError(f"Cannot change {self._path}: {error.strerror or error}") from error
        except (TOMLKitError, UnicodeDecodeError) as error:
            raise UsageError(f"Cannot read configuration file {self._path}: {error}") from error


def _read_value(key: str, text: str) -> Any:
    """The text itself, or its value as TOML: the first that the setting accepts."""
    if key not in Settings.__struct_fields__:
        raise UsageError(f'Unknown key "{key}". The keys are: {", ".join(Settings.__struct_fields__)}.')
    candidates: list[Any] = [text]
    try:
        parsed = tomllib.loads(f"value = {text}")
    except ValueError:
        parsed = {}
    if parsed.keys() == {"value"}:
        candidates.append(parsed["value"])
    for candidate in candidates:
        try:
            convert_setting(key, candidate, "config set")
        except UsageError:
            continue
        return candidate
    shown = "this value" if key in PRIVATE_KEYS or "@" in text else repr(text)
    raise UsageError(f"{key} must be {DESCRIPTIONS[key]}, not {shown}")


def _replace(path: Path, text: str, *, private: bool) -> None:
    """Replace the file, keeping its mode."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", dir=path.parent, delete=False) as file:
        try:
            file.write(text)
            file.flush()
            if path.exists() and not private:
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
