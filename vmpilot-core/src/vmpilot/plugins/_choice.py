"""Which of the installed backends is used: the one that was asked for, never another in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vmpilot.contract import BackendError
from vmpilot.installation import install_command, uninstall_command
from vmpilot.plugins._installed import InstalledBackend

SHIPPED = {"langchain": "vmpilot-backend-langchain", "litellm": "vmpilot-backend-litellm"}
"""The backends that we ship and their distributions. The first one that is installed is the default."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A chosen backend and the reason, as a phrase for the person."""

    backend: InstalledBackend
    why: str


def choose_backend(
    installed: Sequence[InstalledBackend], asked_for: str | None, *, asked_by: str = ""
) -> BackendChoice:
    """The backend named `asked_for` (by `asked_by`: an option, a variable, a file), or the default.

    That is the first shipped one that is installed, or else the only one. Raises `BackendError` if it is not installed,
    if several distributions claim its name, or if nothing decides.
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
            f"no backend is installed: run `{install_command(SHIPPED['litellm'])}` "
            f"or `{install_command(SHIPPED['langchain'])}`"
        )
    raise BackendError(
        f"several backends are installed ({', '.join(names)}) and none is the default: "
        f"choose one with `vmpilot config set backend {names[0]}`, or with --backend for one request"
    )


def _named(name: str, installed: Sequence[InstalledBackend], asked_by: str) -> InstalledBackend:
    claims = [backend for backend in installed if backend.name == name]
    if len(claims) > 1:
        owners = " and ".join(f"{backend.distribution} {backend.version}" for backend in claims)
        remove = " or ".join(f"`{uninstall_command(backend.distribution)}`" for backend in claims)
        raise BackendError(f'the backend "{name}" is claimed by {owners}: run {remove}')
    if not claims:
        raise BackendError(f'the backend "{name}" ({asked_by}) is not installed: {_remedy(name, installed)}')
    return claims[0]


def _remedy(name: str, installed: Sequence[InstalledBackend]) -> str:
    others = ", ".join(sorted({backend.name for backend in installed}))
    if name in SHIPPED:
        return f"run `{install_command(SHIPPED[name])}`" + (f", or choose among: {others}" if others else "")
    return f"choose among: {others}" if others else f"run `{install_command(SHIPPED['litellm'])}`"
