from __future__ import annotations

import pytest

from vmpilot.contract import ModelName
from vmpilot_backend_langchain.target import Target

OPENAI = Target(ModelName("openai", "gpt-4o"), None, "my own key")


def test_a_password_in_the_base_url_does_not_show() -> None:
    target = Target(ModelName("openai", "m"), "https://me:hidden@host:8000/v1?token=hidden", None)
    assert str(target) == "openai/m at https://host:8000/v1"
    assert "hidden" not in repr(target)


@pytest.mark.parametrize(
    ("provider", "base_url", "advice"),
    [
        ("openai", None, "Set OPENAI_API_KEY or VMPILOT_API_KEY."),
        ("anthropic", None, "Set ANTHROPIC_API_KEY or VMPILOT_API_KEY."),
        ("ollama", None, "Set VMPILOT_API_KEY."),
        ("openai", "http://127.0.0.1/v1", "Set VMPILOT_API_KEY."),
    ],
)
def test_which_variable_holds_the_key(provider: str, base_url: str | None, advice: str) -> None:
    assert Target(ModelName(provider, "m"), base_url, None).key_advice == advice


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("wrong my own key here", "wrong … here"),
        ("wrong sk-proj-abcdefghijkl here", "wrong … here"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer …"),
        ("two\n  lines", "two lines"),
        (" <!DOCTYPE html><p>no</p>", ""),
        ("task-force one", "task-force one"),
        ("", ""),
    ],
)
def test_quotes_without_keys_and_pages(text: str, quoted: str) -> None:
    assert OPENAI.quote(text) == quoted


def test_long_texts_are_cut() -> None:
    assert OPENAI.quote("x" * 9999) == "x" * 299 + "…"
