"""The names of a new backend and its package."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from vmpilot.contract import UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 30


@dataclass(frozen=True, slots=True)
class PackageNames:
    """A backend's name, from which its distribution and Python package are named."""

    backend: str

    @property
    def distribution(self) -> str:
        """The name for pip."""
        return f"vmpilot-backend-{self.backend}"

    @property
    def module(self) -> str:
        """The name in Python."""
        return self.distribution.replace("-", "_")


def choose_names(backend: str, *, taken: Collection[str]) -> PackageNames:
    """The names for a new backend. Raises `UsageError` if its name is invalid or among those `taken`."""
    if not _NAME.fullmatch(backend) or len(backend) > _LONGEST:
        raise UsageError(
            f"{backend!r:.80} is not a valid backend name: use up to {_LONGEST} of a-z, 0-9 and single hyphens, "
            f"a letter first"
        )
    if backend in taken:
        raise UsageError(f'the name "{backend}" belongs to another backend; choose another')
    return PackageNames(backend)
