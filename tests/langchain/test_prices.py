"""Prices from the list bundled with genai-prices."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vmpilot.providers import ModelName
from vmpilot.providers.provider_table import PROVIDERS
from vmpilot_backend_langchain.prices import find_prices
from vmpilot_backend_langchain.providers import find_integration


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-5"),
        ("gemini", "gemini-2.5-pro"),
        ("xai", "grok-4"),
        ("bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("groq", "llama-3.3-70b-versatile"),
    ],
)
def test_a_known_model_has_prices(provider: str, model: str) -> None:
    fresh, cached, output = find_prices(ModelName(provider, model)).values()
    assert fresh is not None
    assert cached is not None
    assert output is not None
    assert 0 < cached <= fresh < output < 1e-3


def test_the_prices_of_gpt_4o() -> None:
    prices = {"input_price": 2.5e-6, "cached_input_price": 1.25e-6, "output_price": 1e-5}
    assert find_prices(ModelName("openai", "gpt-4o")) == prices


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "no-such-model"), ("hosted_vllm", "gpt-4o"), ("unheard_of", "gpt-4o")]
)
def test_an_unknown_model_has_no_price(provider: str, model: str) -> None:
    assert find_prices(ModelName(provider, model)) == {}


def test_each_price_list_exists() -> None:
    from genai_prices.data_snapshot import get_snapshot

    lists = {find_integration(name).price_list for name in PROVIDERS} - {None}
    assert lists <= {provider.id for provider in get_snapshot().providers}


def test_prices_need_no_network_and_are_imported_on_first_use() -> None:
    program = """
import socket, sys
from vmpilot.providers import ModelName
from vmpilot_backend_langchain import agent, prices
assert "genai_prices" not in sys.modules
def refuse(*_):
    raise SystemExit("it connected")
socket.socket.connect = refuse
assert prices.find_prices(ModelName("openai", "gpt-4o"))
assert "genai_prices" in sys.modules
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
