"""A model where it is asked, and what was learned of its server; a fallback is made ready when it is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from vmpilot.contract import ModelSettings, RefusedMessages
from vmpilot.engine.calls.message_form import MessageForm, usual_form

ToolMode: TypeAlias = Literal["auto", "native", "text"]
"""How the model asks for tools: by its provider's own means, by the text protocol, or by that only where need be."""

_MOST_MENDS = 8
"""Problems that a server may have with messages, one after the other, before that is its last word."""


@dataclass(slots=True)
class Endpoint:
    """A model as the backend is to ask it; `context_window` is in tokens, None where only the backend may know it.

    A `free` one costs nothing, for it runs on this machine. `tools` are the names of those that it is offered, None for
    all. What its server turned out not to take is kept as long as the endpoint is: `by_text` says that it takes no
    tools, `form` how messages are sent to it.
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
        """Send messages in a form that avoids this from now on; False if that cannot be done."""
        form = self.form.mended(refused)
        self._mends += 1
        if form is None or self._mends > _MOST_MENDS:
            return False
        self.form = form
        return True

    def omit(self, parameter: str) -> None:
        """Leave a member out of every request from now on."""
        self.settings = msgspec.structs.replace(self.settings, omitted=(*self.settings.omitted, parameter))


@dataclass(frozen=True, slots=True)
class Fallback:
    """A model that is asked where those before it fail; `prepare` raises `ModelError` where it cannot be."""

    model: str
    prepare: Callable[[], Awaitable[Endpoint]]
