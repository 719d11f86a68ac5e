"""Names that look the same and are not: composed and decomposed accents, no-break spaces, invisible characters."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice
from pathlib import Path

from vmpilot.contract.invisible import describe_difference, fold_invisible

_LOOKED_AT = 10_000
"""Entries of a folder."""


def find_look_alikes(folder: Path, name: str) -> list[str]:
    """The names in `folder` that look like `name`, which is not there itself."""
    wanted = fold_invisible(name)
    with suppress(OSError), os.scandir(folder) as entries:
        names = (entry.name for entry in islice(entries, _LOOKED_AT))
        return sorted(found for found in names if found != name and fold_invisible(found) == wanted)
    return []


def follow_look_alikes(path: Path) -> Path | None:
    """The path with each missing name replaced by the only one that looks like it; None if there is none.

    What is below the first name that stays missing stays as it is.
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
    """How the last names of `path` differ from those that `text` gives for them; empty if they do not."""
    differences = []
    for given, found in zip(reversed(Path(text).parts), reversed(path.parts), strict=False):
        if fold_invisible(given) != fold_invisible(found):
            break
        if given != found:
            differences.append(describe_difference(found, given))
    return "; ".join(reversed(differences))
