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
    found = [_described(entry_point) for entry_point in entry_points(group=group)]
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution)))


def _described(entry_point: EntryPoint) -> InstalledPlugin:
    distribution = entry_point.dist
    name, version = ("unknown", "unknown") if distribution is None else (distribution.name, distribution.version)
    return InstalledPlugin(entry_point.name, name, version, entry_point)
