"""Which of the installed backends is used: the one that was asked for, never another in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmpilot.contract import BackendError
from vmpilot.plugins.installed import InstalledBackend

DEFAULT = "langchain"

SHIPPED = {"langchain": "vmpilot-backend-langchain", "litellm": "vmpilot-backend-litellm"}
"""The distributions that we ship, for the command that mends a missing one."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A chosen backend and the reason, as a phrase for the person."""

    backend: InstalledBackend
    why: str


def choose_backend(
    installed: Sequence[InstalledBackend], asked_for: str | None, *, asked_by: str = ""
) -> BackendChoice:
    """The backend named `asked_for` (by `asked_by`: an option, a variable, a file), or the default, or the only one.

    Raises `BackendError` where it is not installed, claimed by several distributions, or where nothing decides.
    """
    if asked_for is not None:
        return BackendChoice(_named(asked_for, installed, asked_by), asked_by)
    names = sorted({backend.name for backend in installed})
    if DEFAULT in names:
        return BackendChoice(_named(DEFAULT, installed, "the default"), "the default")
    if len(names) == 1:
        return BackendChoice(_named(names[0], installed, "the only one installed"), "the only one installed")
    if not names:
        raise BackendError(
            f"no backend is installed: run `pip install {SHIPPED['litellm']}` or `pip install {SHIPPED['langchain']}`"
        )
    raise BackendError(
        f"several backends are installed ({', '.join(names)}) and none is chosen: "
        f"name one with --backend or VMPILOT_BACKEND"
    )


def _named(name: str, installed: Sequence[InstalledBackend], asked_by: str) -> InstalledBackend:
    claims = [backend for backend in installed if backend.name == name]
    if len(claims) > 1:
        owners = " and ".join(f"{backend.distribution} {backend.version}" for backend in claims)
        raise BackendError(
            f'the backend "{name}" is claimed by {owners}: run `pip uninstall` for the one that you do not want'
        )
    if not claims:
        raise BackendError(f'the backend "{name}" ({asked_by}) is not installed: {_remedy(name, installed)}')
    return claims[0]


def _remedy(name: str, installed: Sequence[InstalledBackend]) -> str:
    others = ", ".join(sorted({backend.name for backend in installed}))
    if name in SHIPPED:
        return f"run `pip install {SHIPPED[name]}`" + (f", or choose among: {others}" if others else "")
    return f"choose among: {others}" if others else f"run `pip install {SHIPPED['litellm']}`"
