"""The models that a turn may call, in order, with the known limitations of their servers. It never switches back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Self

from vmpilot.contract import InvalidRequest, MessagesRefused, ModelError, Notice, ParameterRefused, ToolsUnsupported
from vmpilot.engine.calls._endpoint import Endpoint, Fallback, ToolMode

_MOST_OMITTED = 8
"""Parameters that a server may reject, one after the other, before the request fails."""

_LOST = {
    "stream_options": "so its token usage is unknown",
    "stream": "so its answers are not streamed",
    "temperature": "so it uses its default",
    "reasoning_effort": "so it uses its default",
    "seed": "so its answers may vary",
}
"""How this affects the user. Other parameters are left out without a notice."""

_OUTPUT_LIMITS = {"max_tokens", "max_completion_tokens"}
"""Two names for one parameter: a server gets the one that it accepts."""


class FallbackChain:
    """`endpoint` is the one in use; `answering` is its model if it is a fallback, otherwise empty."""

    def __init__(
        self,
        endpoint: Endpoint,
        fallbacks: Iterable[Fallback] = (),
        *,
        tool_mode: ToolMode = "auto",
        news: Iterable[Notice] = (),
    ) -> None:
        self.endpoint = endpoint
        self.answering = ""
        self._name = endpoint.model
        self._free = {endpoint.model} if endpoint.free else set[str]()
        self._fallbacks = list(fallbacks)
        self._tool_mode = tool_mode
        self._news = tuple(news)

    @classmethod
    async def open(cls, models: Iterable[Fallback], *, tool_mode: ToolMode = "auto") -> Self:
        """Start with the first model that can be prepared. Raises `ModelError` if none can."""
        rest = list(models)
        news: list[Notice] = []
        while True:
            first = rest.pop(0)
            try:
                endpoint = await first.prepare()
            except ModelError as error:
                if not rest:
                    raise
                news.append(_switched(first.model, rest[0].model, error))
                continue
            return cls(endpoint, rest, tool_mode=tool_mode, news=news)

    def take_news(self) -> tuple[Notice, ...]:
        """Notices from before the turn began, once."""
        news, self._news = self._news, ()
        return news

    @property
    def by_text(self) -> bool:
        """Whether the text protocol is used for this model."""
        return self._tool_mode == "text" or (self._tool_mode == "auto" and self.endpoint.by_text)

    def is_free(self, model: str) -> bool:
        """Whether a model that was used costs nothing, even after a switch to another one."""
        return model in self._free

    async def switch(self, error: ModelError, emit: Callable[[Notice], None]) -> None:
        """Switch to the next usable model and notify the user. Raises the last error if no model is left."""
        while self._fallbacks and error.another_may_answer:
            fallback = self._fallbacks.pop(0)
            emit(_switched(self._name, fallback.model, error))
            self._name = fallback.model
            try:
                self.endpoint = await fallback.prepare()
            except ModelError as failure:
                error = failure
                continue
            self.answering = self.endpoint.model
            if self.endpoint.free:
                self._free.add(self.endpoint.model)
            return
        raise error

    def adapt(self, error: InvalidRequest) -> Notice | None:
        """Change the next request so that the server accepts it, and notify the user if that affects them.

        Raises the error if that is not possible, with advice if there is any.
        """
        match error:
            case ParameterRefused():
                return self._omit(error)
            case MessagesRefused():
                return self._mend(error)
            case ToolsUnsupported() if self._may_use_text:
                return self._use_text()
            case ToolsUnsupported() if self._tool_mode == "native":
                raise ToolsUnsupported(
                    f"{error} (with --tool-mode auto, it would write tool calls in its text)"
                ) from error
            case _:
                raise error

    @property
    def _may_use_text(self) -> bool:
        return self._tool_mode == "auto" and not self.endpoint.by_text

    def _use_text(self) -> Notice:
        self.endpoint.by_text = True
        return Notice(f"{self._name} does not support tool calls, so it writes them in its text.")

    def _mend(self, error: MessagesRefused) -> Notice | None:
        had_system_role = self.endpoint.form.system_role
        if not self.endpoint.mend(error.refused):
            if error.refused.problem == "roles" and self._may_use_text:
                return self._use_text()  # it may mean tool messages
            raise error
        if had_system_role and not self.endpoint.form.system_role:
            return Notice(f"{self._name} does not accept a system prompt, so it is sent with the first message.")
        return None

    def _omit(self, error: ParameterRefused) -> Notice | None:
        parameter, omitted = error.parameter, self.endpoint.settings.omitted
        if not parameter or parameter in omitted or len(omitted) >= _MOST_OMITTED:
            raise error
        self.endpoint.omit(parameter)
        lost = _LOST.get(parameter)
        if {parameter, *omitted} >= _OUTPUT_LIMITS:
            lost = "so the length of its answers is unlimited"
        return Notice(f"{self._name} does not accept {parameter}, {lost}.") if lost else None


def _switched(model: str, to: str, error: ModelError) -> Notice:
    return Notice(f"Switching from {model} to {to}: {error}")
