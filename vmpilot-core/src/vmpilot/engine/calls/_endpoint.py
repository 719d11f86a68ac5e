"""A model at its server, and the facts learned about that server; a fallback is prepared only if needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from vmpilot.contract import ModelSettings, RefusedMessages
from vmpilot.engine.calls.message_form import MessageForm, usual_form

ToolMode: TypeAlias = Literal["auto", "native", "text"]
"""How the model calls tools: natively, with the text protocol, or with that only if necessary."""

_MOST_MENDS = 8
"""Problems that a server may have with messages, one after the other, before the request fails."""


@dataclass(slots=True)
class Endpoint:
    """A model as the backend calls it; `context_window` is in tokens, or None if only the backend may know it.

    A `free` model costs nothing, because it runs on this machine. `tools` are the names of the tools that it is
    offered, None for all. The endpoint remembers the limitations of its server: `by_text` means that it does not accept
    tools, and `form` is the form of messages that it accepts.
    """

    model: str
    settings: ModelSettings
    context_window: int | None = None
    free: bool = False
    tools: tuple[str, ...] | None = None
    by_text: bool = False
    form: MessageForm = field(init=False)
    _mends: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.form = usual_form(self.model, base_url=self.settings.base_url)

    def mend(self, refused: RefusedMessages) -> bool:
        """From now on, send messages in a form that avoids this problem; False if that is not possible."""
        form = self.form.mended(refused)
        self._mends += 1
        if form is None or self._mends > _MOST_MENDS:
            return False
        self.form = form
        return True

    def omit(self, parameter: str) -> None:
        """From now on, leave a parameter out of every request."""
        self.settings = msgspec.structs.replace(self.settings, omitted=(*self.settings.omitted, parameter))


@dataclass(frozen=True, slots=True)
class Fallback:
    """A model to try if the previous ones fail; `prepare` raises `ModelError` if it cannot be used."""

    model: str
    prepare: Callable[[], Awaitable[Endpoint]]
