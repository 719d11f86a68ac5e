"""Prices and windows from LiteLLM's built-in list."""

from __future__ import annotations

import pytest

from vmpilot_backend_litellm.agent import describe_model


@pytest.mark.parametrize("model", ["gpt-4o", "openai/gpt-4o"])
def test_a_known_model(model: str) -> None:
    info = describe_model(model)
    assert info is not None
    assert info.context_window == 128_000
    assert info.input_price is not None
    assert info.output_price is not None
    assert 0 < info.input_price < info.output_price < 1e-3
    assert info.supports_tools
    assert info.supports_images


@pytest.mark.parametrize("model", ["anthropic/claude-sonnet-4-5", "claude-sonnet-4-5", "gemini/gemini-2.5-pro"])
def test_models_of_other_providers(model: str) -> None:
    info = describe_model(model)
    assert info is not None
    assert info.context_window is not None
    assert info.input_price is not None


@pytest.mark.parametrize("model", ["openai/no-such-model", "wizard", "hosted_vllm/gpt-4o", "local/qwen"])
def test_an_unknown_model_has_no_prices(model: str) -> None:
    assert describe_model(model) is None


def test_price_of_zero_is_unknown() -> None:
    info = describe_model("ollama/llama3")
    assert info is not None
    assert info.input_price is None
