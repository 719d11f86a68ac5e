"""The system prompt: short, the same on every backend, and stable within a day so that providers can cache it."""

from __future__ import annotations

import platform
from datetime import date
from importlib.resources import files

from vmpilot.contract import ToolSpec

_MODES = {
    "observe": "Read-only mode: commands that could change anything are denied.",
    "operate": "Read-only commands run at once; all others are shown to the user, who may deny them.",
    "full": "Every command runs at once, with the user's rights: think before you change anything.",
}


def system_prompt(*, user: str, mode: str, tools: tuple[ToolSpec, ...], today: date) -> str:
    """The prompt for operating a machine.

    The working folder is omitted: small models write its full path into their commands and misspell paths that are long
    or contain a space.
    """
    template = files("vmpilot.engine.prompts").joinpath("system.md").read_text(encoding="utf-8")
    return template.format(
        system=_system_name(),
        host=platform.node(),
        user=user,
        today=today.isoformat(),
        mode=_MODES[mode],
        tools=", ".join(f"`{tool.name}`" for tool in tools) or "none",
    ).strip()


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"
