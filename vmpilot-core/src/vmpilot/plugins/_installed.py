"""The plugins that are installed, from the distributions' metadata alone: nothing is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TypeAlias

from vmpilot.contract import ENTRY_POINT_GROUP, TOOL_ENTRY_POINT_GROUP


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """An entry point that claims to be a backend, or to bring tools."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint


InstalledBackend: TypeAlias = InstalledPlugin


def installed_backends() -> tuple[InstalledBackend, ...]:
    """All that claim to be backends, by name; two distributions may claim one name."""
    return _installed(ENTRY_POINT_GROUP)


def installed_tool_plugins() -> tuple[InstalledPlugin, ...]:
    """All that claim to bring tools, by name; a name means nothing, and several may bear it."""
    return _installed(TOOL_ENTRY_POINT_GROUP)


def _installed(group: str) -> tuple[InstalledPlugin, ...]:
    found = [_described(entry_point) for entry_point in entry_points(group=group)]
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.distribution)))


def _described(entry_point: EntryPoint) -> InstalledPlugin:
    distribution = entry_point.dist
    name, version = ("unknown", "unknown") if distribution is None else (distribution.name, distribution.version)
    return InstalledPlugin(entry_point.name, name, version, entry_point)
