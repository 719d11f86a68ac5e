r"""File names as text: other bytes than UTF-8, and control characters, as `\xNN`; and names that look alike."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import islice
from pathlib import Path

from vmpilot.contract.invisible import describe_difference, fold_invisible

_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWN = re.compile(rb"\\x([0-9a-f]{2})")

_LOOKED_AT = 10_000
"""Entries of a folder."""


def show_name(name: str) -> str:
    r"""The name on one line, in valid Unicode: other bytes and control characters as `\xNN`."""
    return _UNSHOWN.sub(lambda match: "".join(f"\\x{byte:02x}" for byte in os.fsencode(match[0])), name)


def read_name(text: str) -> str:
    """The name that `show_name` shows as `text`."""
    return os.fsdecode(_SHOWN.sub(lambda match: bytes([int(match[1], 16)]), os.fsencode(text))).replace("\0", "")


def find_look_alikes(folder: Path, name: str) -> list[str]:
    """The names in `folder` that look like `name`, which does not exist."""
    wanted = fold_invisible(name)
    with suppress(OSError), os.scandir(folder) as entries:
        names = (entry.name for entry in islice(entries, _LOOKED_AT))
        return sorted(found for found in names if found != name and fold_invisible(found) == wanted)
    return []


def follow_look_alikes(path: Path) -> Path | None:
    """The path with each missing name replaced by the only one that looks like it; None if nothing was replaced.

    Everything after the first name that stays missing is kept.
    """
    there, replaced = Path(path.anchor), False
    for index, name in enumerate(path.parts[1:], 1):
        if os.path.lexists(there / name):
            there /= name
            continue
        found = find_look_alikes(there, name)
        if len(found) != 1:
            return there.joinpath(*path.parts[index:]) if replaced else None
        there, replaced = there / found[0], True
    return there if replaced else None


def describe_look_alike(text: str, path: Path) -> str:
    """How the last names of `path` differ from those in `text`; empty if they do not."""
    differences = []
    for given, found in zip(reversed(Path(text).parts), reversed(path.parts), strict=False):
        if fold_invisible(given) != fold_invisible(found):
            break
        if given != found:
            differences.append(describe_difference(found, given))
    return "; ".join(reversed(differences))
