"""The usage and cost of a turn's model calls, estimated if unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vmpilot.contract import AssistantMessage, Message, ModelInfo, Usage
from vmpilot.engine.tokens import estimate_message_tokens, estimate_text_tokens, estimate_tokens

ASSUMED_INPUT_PRICE = 15e-6
ASSUMED_OUTPUT_PRICE = 75e-6
"""US dollars per token of a model whose price is unknown: those of the most expensive models in common use, so that a
cost limit is reached too early rather than too late."""


def price(usage: Usage, model: ModelInfo | None) -> float | None:
    """The cost of the tokens in US dollars; None if a price is unknown."""
    if model is None or model.input_price is None or model.output_price is None:
        return None
    cached_price = model.input_price if model.cached_input_price is None else model.cached_input_price
    uncached = usage.input_tokens - usage.cached_tokens
    return uncached * model.input_price + usage.cached_tokens * cached_price + usage.output_tokens * model.output_price


def estimate_usage(messages: Iterable[Message], answer: AssistantMessage, *, overhead: int = 0) -> Usage:
    """The approximate tokens of one call; `overhead` is the estimate for the rest of the request."""
    return Usage(
        overhead + estimate_tokens(messages), estimate_message_tokens(answer) + estimate_text_tokens(answer.reasoning)
    )


class CostTracker:
    """Adds up a turn's calls by model. `find_info` looks up a model's prices only when they are needed.

    `usage` is the providers' counts; missing counts are estimated, and included only in `tokens` and `spent`.
    """

    def __init__(self, find_info: Callable[[str], ModelInfo | None]) -> None:
        self._find_info = find_info
        self._told: dict[str, Usage] = {}
        self._counted: dict[str, Usage] = {}
        self._untold: set[str] = set()

    def add(self, model: str, usage: Usage | None, estimate: Callable[[], Usage] = Usage) -> None:
        """Add a call."""
        if usage is None:
            self._untold.add(model)
        self._told[model] = self._told.get(model, Usage()) + (usage or Usage())
        self._counted[model] = self._counted.get(model, Usage()) + (estimate() if usage is None else usage)

    @property
    def usage(self) -> Usage:
        """The providers' counts."""
        return sum(self._told.values(), Usage())

    @property
    def tokens(self) -> int:
        """Input and output, estimated if the provider did not count."""
        return sum(max(usage.input_tokens, 0) + max(usage.output_tokens, 0) for usage in self._counted.values())

    @property
    def cost(self) -> float | None:
        """US dollars; None if a price or a count is unknown."""
        used = ((model, usage) for model, usage in self._told.items() if usage != Usage())  # the cache costs nothing
        prices = [price(usage, self._find_info(model)) for model, usage in used]
        known = [each for each in prices if each is not None]
        return sum(known) if len(known) == len(prices) and not self._untold else None

    @property
    def spent(self) -> float:
        """US dollars, with assumed prices and estimated tokens for unknown values."""
        return sum(max(self._charge(model, usage), 0.0) for model, usage in self._counted.items())

    def knows_price(self, model: str) -> bool:
        """Whether the model's price is known."""
        return price(Usage(), self._find_info(model)) is not None

    def _charge(self, model: str, usage: Usage) -> float:
        known = price(usage, self._find_info(model))
        if known is not None:
            return known
        return usage.input_tokens * ASSUMED_INPUT_PRICE + usage.output_tokens * ASSUMED_OUTPUT_PRICE
