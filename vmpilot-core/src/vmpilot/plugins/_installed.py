"""Finds installed plugins in the metadata of distributions, without importing them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TypeAlias

from vmpilot.contract import ENTRY_POINT_GROUP, TOOL_ENTRY_POINT_GROUP


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An entry point that claims to be a backend or to provide tools."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint


InstalledBackend: TypeAlias = InstalledPlugin


def installed_backends() -> tuple[InstalledBackend, ...]:
    """All entry points for backends, sorted by name; two distributions may use the same name."""
    return _installed(ENTRY_POINT_GROUP)


def installed_tool_plugins() -> tuple[InstalledPlugin, ...]:
    """All entry points for tools, sorted by name; names have no meaning and need not be unique."""
    return _installed(TOOL_ENTRY_POINT_GROUP)


def _installed(group: str) -> tuple[InstalledPlugin, ...]:
    found = []
    for entry_point in entry_points(group=group):
        dist = entry_point.dist
        name, version = ("unknown", "unknown") if dist is None else (dist.name, dist.version)
        found.append(InstalledPlugin(entry_point.name, name, version, entry_point))
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution)))
