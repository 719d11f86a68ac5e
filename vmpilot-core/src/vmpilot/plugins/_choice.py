"""Chooses the backend. A requested backend is never replaced by another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmpilot.contract import BackendError
from vmpilot.installation import install_command, uninstall_command
from vmpilot.plugins._installed import InstalledBackend

SHIPPED = {"langchain": "vmpilot-backend-langchain", "litellm": "vmpilot-backend-litellm"}
"""VMPilot's own backends and their distributions. The first installed one is the default."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A chosen backend and the reason, as a phrase for the user."""

    backend: InstalledBackend
    why: str


def choose_backend(
    installed: Sequence[InstalledBackend], asked_for: str | None, *, asked_by: str = ""
) -> BackendChoice:
    """The backend named `asked_for` (by `asked_by`: an option, a variable, a file), or the default.

    The default is the only installed backend, otherwise the first shipped one. Raises `BackendError` if the backend is
    not installed, if several distributions claim its name, or if there is no default.
    """
    if asked_for is not None:
        return BackendChoice(_named(asked_for, installed, asked_by), asked_by)
    names = sorted({backend.name for backend in installed})
    if len(names) == 1:
        return BackendChoice(_named(names[0], installed, "the only one installed"), "the only one installed")
    for name in SHIPPED:
        if name in names:
            return BackendChoice(_named(name, installed, "the default"), "the default")
    if not names:
        raise BackendError(
            f"No backend is installed. Run `{install_command(SHIPPED['litellm'])}` "
            f"or `{install_command(SHIPPED['langchain'])}`."
        )
    raise BackendError(
        f"Several backends are installed ({', '.join(names)}), and there is no default. "
        f"Choose one with `vmpilot config set backend {names[0]}`, or with --backend for one request."
    )


def _named(name: str, installed: Sequence[InstalledBackend], asked_by: str) -> InstalledBackend:
    claims = [backend for backend in installed if backend.name == name]
    if len(claims) > 1:
        owners = " and ".join(f"{backend.distribution} {backend.version}" for backend in claims)
        remove = " or ".join(f"`{uninstall_command(backend.distribution)}`" for backend in claims)
        raise BackendError(f'Backend "{name}" is provided by both {owners}. Run {remove}.')
    if not claims:
        raise BackendError(f'Backend "{name}" ({asked_by}) is not installed. {_remedy(name, installed)}')
    return claims[0]


def _remedy(name: str, installed: Sequence[InstalledBackend]) -> str:
    others = ", ".join(sorted({backend.name for backend in installed}))
    if name in SHIPPED:
        command = f"Run `{install_command(SHIPPED[name])}`"
        return f"{command}, or use another backend ({others})." if others else f"{command}."
    return f"Installed backends: {others}." if others else f"Run `{install_command(SHIPPED['litellm'])}`."
