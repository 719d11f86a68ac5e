"""A model at its server, and what was learned about that server; a fallback is prepared when it is needed."""

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
    """A model as the backend asks it; `context_window` is in tokens, None if only the backend may know it.

    A `free` model costs nothing, because it runs on this machine. `tools` are the names of those it is offered, None
    for all. The endpoint remembers what its server does not accept: with `by_text` it does not accept tools, and
    `form` is the form of messages for it.
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
    """A model to ask if those before it fail; `prepare` raises `ModelError` if it cannot be used."""

    model: str
    prepare: Callable[[], Awaitable[Endpoint]]
