"""The backends that are installed, from the distributions' metadata alone: nothing is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from vmpilot.contract import ENTRY_POINT_GROUP


@dataclass(frozen=True, slots=True)
class InstalledBackend:
    """An entry point that claims to be a backend."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint


def installed_backends() -> tuple[InstalledBackend, ...]:
    """All entries of the group, by name; two distributions may claim one name."""
    found = [_described(entry_point) for entry_point in entry_points(group=ENTRY_POINT_GROUP)]
    return tuple(sorted(found, key=lambda backend: (backend.name, backend.distribution)))


def _described(entry_point: EntryPoint) -> InstalledBackend:
    distribution = entry_point.dist
    name, version = ("unknown", "unknown") if distribution is None else (distribution.name, distribution.version)
    return InstalledBackend(entry_point.name, name, version, entry_point)
