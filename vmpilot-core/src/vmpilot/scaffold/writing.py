"""Writes the template's files into a folder, under the new names. Existing files are never overwritten."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from vmpilot.contract import UsageError
from vmpilot.scaffold.names import PackageNames

_PLACEHOLDER = PackageNames("newbackend")


def write_package(names: PackageNames, folder: Path) -> tuple[Path, ...]:
    """Write the package and return its files as paths below `folder`, which is created if it does not exist.

    Raises `UsageError` if the folder is not empty or cannot be written to.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; choose another folder with --dir")
        for parts, text in _template_files(files("vmpilot.scaffold") / "template"):
            path = Path(*(_rename(part, names) for part in parts))
            _write_new(folder / path, _rename(text, names))
            written.append(path)
    except OSError as error:
        raise UsageError(f"cannot write to {folder} ({error.strerror}); choose another folder with --dir") from error
    return tuple(sorted(written))


def _template_files(place: Traversable, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The parts of each file's path, and its text, without bytecode that Python wrote at installation."""
    for entry in place.iterdir():
        parts = (*above, entry.name)
        if entry.is_file():
            yield parts, entry.read_text(encoding="utf-8")
        elif entry.name != "__pycache__":
            yield from _template_files(entry, parts)


def _rename(text: str, names: PackageNames) -> str:
    return text.replace(_PLACEHOLDER.module, names.module).replace(_PLACEHOLDER.backend, names.backend)


def _write_new(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
