"""VMPilot: an AI operator for the machine it runs on, whose agent engine is a plugin.

`Agent` is the library. Importing this package imports nothing else; `Agent` is found on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers know it; importing typing would take a tenth of the time of `vmpilot --help`
if TYPE_CHECKING:
    from typing import Any

    from vmpilot.app import Agent, Answer

__all__ = ["Agent", "Answer"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from vmpilot import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
