from __future__ import annotations

import pytest

from vmpilot.contract import AssistantMessage, ModelInfo, ToolCall, Usage, UserMessage
from vmpilot.engine.costs import ASSUMED_INPUT_PRICE, ASSUMED_OUTPUT_PRICE, CostTracker, estimate_usage, price

PRICES = {"dear": ModelInfo(input_price=2.0, output_price=10.0), "cheap": ModelInfo(input_price=0.5, output_price=1.0)}


def test_cached_tokens_have_their_own_price() -> None:
    model = ModelInfo(input_price=2.0, cached_input_price=0.5, output_price=10.0)
    assert price(Usage(input_tokens=10, cached_tokens=4, output_tokens=3), model) == 6 * 2.0 + 4 * 0.5 + 3 * 10.0
    assert price(Usage(10, 3), ModelInfo(input_price=2.0, output_price=10.0)) == 50.0


@pytest.mark.parametrize("model", [None, ModelInfo(), ModelInfo(input_price=1.0), ModelInfo(output_price=1.0)])
def test_an_unknown_price_is_none(model: ModelInfo | None) -> None:
    assert price(Usage(10, 3), model) is None


def test_each_model_has_its_own_price() -> None:
    costs = CostTracker(PRICES.get)
    costs.add("dear", Usage(10, 1))
    costs.add("cheap", Usage(4, 4))
    costs.add("dear", Usage(5, 0))
    assert (costs.usage, costs.tokens, costs.cost, costs.spent) == (Usage(19, 5), 24, 46.0, 46.0)


def test_unreported_usage_is_estimated_and_the_cost_unknown() -> None:
    costs = CostTracker(PRICES.get)
    costs.add("dear", Usage(10, 1))
    costs.add("dear", None, lambda: Usage(100, 10))
    assert (costs.usage, costs.tokens, costs.cost, costs.spent) == (Usage(10, 1), 121, None, 330.0)


def test_an_unknown_price_is_assumed_to_be_high() -> None:
    costs = CostTracker(PRICES.get)
    costs.add("unheard of", Usage(1_000_000, 1_000_000))
    assert costs.cost is None
    assert costs.spent == pytest.approx(1e6 * (ASSUMED_INPUT_PRICE + ASSUMED_OUTPUT_PRICE))


def test_an_impossible_count_does_not_lower_the_cost() -> None:
    costs = CostTracker(PRICES.get)
    costs.add("dear", Usage(10, 1))
    costs.add("cheap", Usage(-1_000, -1_000))
    assert (costs.tokens, costs.spent) == (11, 30.0)


def test_without_calls_nothing_is_charged_and_no_price_looked_up() -> None:
    costs = CostTracker(lambda model: pytest.fail(f"{model} was looked up"))
    assert (costs.usage, costs.tokens, costs.cost, costs.spent) == (Usage(), 0, 0.0, 0.0)


def test_an_estimate_includes_everything_sent_and_received() -> None:
    short = estimate_usage([UserMessage.from_text("x" * 400)], AssistantMessage("y" * 400))
    assert 90 < short.input_tokens < 120
    assert 90 < short.output_tokens < 120
    answer = AssistantMessage("y" * 400, "z" * 400, (ToolCall("a", "shell", "w" * 400),))
    longer = estimate_usage([UserMessage.from_text("x" * 400)], answer, overhead=500)
    assert longer.input_tokens == short.input_tokens + 500
    assert longer.output_tokens > 290
