"""Both backends report the same price for a model, although each reads its own list."""

from __future__ import annotations

import pytest

from vmpilot.contract import ModelInfo, Usage
from vmpilot.engine.costs import price
from vmpilot_backend_langchain.agent import describe_model as describe_by_langchain
from vmpilot_backend_litellm.agent import describe_model as describe_by_litellm

# Input, output, cached and reasoning tokens; cached ones are part of the input, reasoning is part of the output.
USAGE = Usage(10_000, 2_000, 4_000, 500)


@pytest.mark.parametrize(
    "model",
    ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro", "azure/gpt-4o"],
)
def test_the_same_usage_costs_the_same(model: str) -> None:
    by_langchain, by_litellm = (_cost(describe(model)) for describe in (describe_by_langchain, describe_by_litellm))
    assert by_langchain == pytest.approx(by_litellm, rel=1e-9)


def test_the_cost_of_gpt_4o() -> None:
    for describe in (describe_by_langchain, describe_by_litellm):
        assert _cost(describe("gpt-4o")) == pytest.approx((6_000 * 2.5 + 4_000 * 1.25 + 2_000 * 10) / 1e6)


@pytest.mark.parametrize("model", ["openai/no-such-model", "hosted_vllm/gpt-4o"])
def test_neither_knows_the_price_of_an_unknown_model(model: str) -> None:
    for describe in (describe_by_langchain, describe_by_litellm):
        assert price(USAGE, describe(model)) is None


def _cost(info: ModelInfo | None) -> float:
    cost = price(USAGE, info)
    assert cost is not None
    return cost
