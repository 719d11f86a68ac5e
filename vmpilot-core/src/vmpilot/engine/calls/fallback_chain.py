"""The models that a turn may ask, in their order; what one of them turns out not to take; there is no way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Self

from vmpilot.contract import InvalidRequest, MessagesRefused, ModelError, Notice, ParameterRefused, ToolsUnsupported
from vmpilot.engine.calls.endpoint import Endpoint, Fallback, ToolMode

_MOST_OMITTED = 8
"""Members of a request that a server may refuse one after the other before that is its last word."""

_LOST = {
    "stream_options": "so what the call uses up stays unknown",
    "stream": "so its answers come in one piece",
    "temperature": "so it chooses its own",
    "reasoning_effort": "so it chooses its own",
    "seed": "so its answers may differ from time to time",
}
"""What the person loses by it; of other members they never knew."""

_OUTPUT_LIMITS = {"max_tokens", "max_completion_tokens"}
"""Two names for one thing: a server that takes one of them is asked with it."""


class FallbackChain:
    """`endpoint` is the one in use; `answering` its model where it is a fallback, else empty."""

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
        """Begin with the first of the models that can be made ready. Raises `ModelError` where none can."""
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
        """What happened before the turn began, once."""
        news, self._news = self._news, ()
        return news

    @property
    def by_text(self) -> bool:
        """Whether the model is asked by the text protocol."""
        return self._tool_mode == "text" or (self._tool_mode == "auto" and self.endpoint.by_text)

    def is_free(self, model: str) -> bool:
        """Whether a model that was asked costs nothing, also once another has taken its place."""
        return model in self._free

    async def switch(self, error: ModelError, emit: Callable[[Notice], None]) -> None:
        """Switch to the next model that can be asked, and say so. Raises the last error if there is none."""
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
        """Make the next request one that the server takes, and say so where the person has a loss by it.

        Raises the error, if need be with a sentence on what to do, where that cannot be done.
        """
        match error:
            case ParameterRefused():
                return self._omit(error)
            case MessagesRefused():
                return self._mend(error)
            case ToolsUnsupported() if self._may_use_text:
                return self._use_text()
            case ToolsUnsupported() if self._tool_mode == "native":
                raise ToolsUnsupported(f"{error} (--tool-mode auto would ask for them in the text)") from error
            case _:
                raise error

    @property
    def _may_use_text(self) -> bool:
        return self._tool_mode == "auto" and not self.endpoint.by_text

    def _use_text(self) -> Notice:
        self.endpoint.by_text = True
        return Notice(f"{self._name} takes no tools, so it is asked for them in the text of its answers.")

    def _mend(self, error: MessagesRefused) -> Notice | None:
        had_system_role = self.endpoint.form.system_role
        if not self.endpoint.mend(error.refused):
            if error.refused.problem == "roles" and self._may_use_text:
                return self._use_text()  # messages of tools may be what it means
            raise error
        if had_system_role and not self.endpoint.form.system_role:
            return Notice(f"{self._name} takes no system prompt, so it is sent with the first message.")
        return None

    def _omit(self, error: ParameterRefused) -> Notice | None:
        parameter, omitted = error.parameter, self.endpoint.settings.omitted
        if not parameter or parameter in omitted or len(omitted) >= _MOST_OMITTED:
            raise error
        self.endpoint.omit(parameter)
        lost = _LOST.get(parameter)
        if {parameter, *omitted} >= _OUTPUT_LIMITS:
            lost = "so its answers are as long as it likes"
        return Notice(f"{self._name} does not take {parameter}, {lost}.") if lost else None


def _switched(model: str, to: str, error: ModelError) -> Notice:
    return Notice(f"Switching from {model} to {to}: {error}")
