"""One format of model names for every backend."""

from __future__ import annotations

import pytest

from vmpilot.contract import ModelNotFound
from vmpilot.providers import ModelName, parse_model_name

SERVER = "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("model", "base_url", "expected"),
    [
        ("gpt-4o", None, ("openai", "gpt-4o")),
        ("chatgpt-4o-latest", None, ("openai", "chatgpt-4o-latest")),
        ("o1", None, ("openai", "o1")),
        ("o3-mini", None, ("openai", "o3-mini")),
        ("o4-mini", None, ("openai", "o4-mini")),
        ("claude-sonnet-4-5", None, ("anthropic", "claude-sonnet-4-5")),
        ("gemini-2.5-pro", None, ("gemini", "gemini-2.5-pro")),
        ("mistral-large-latest", None, ("mistral", "mistral-large-latest")),
        ("codestral-latest", None, ("mistral", "codestral-latest")),
        ("deepseek-chat", None, ("deepseek", "deepseek-chat")),
        ("grok-4", None, ("xai", "grok-4")),
        ("openai/gpt-4o", None, ("openai", "gpt-4o")),
        ("anthropic/claude-x", None, ("anthropic", "claude-x")),
        ("azure/my-deployment", None, ("azure", "my-deployment")),
        ("ollama/qwen3:8b", None, ("ollama", "qwen3:8b")),
        ("openrouter/anthropic/claude-x", None, ("openrouter", "anthropic/claude-x")),
        ("newprovider/model", None, ("newprovider", "model")),
        ("openai/gpt-4o", SERVER, ("openai", "gpt-4o")),
        ("anthropic/claude-x", SERVER, ("anthropic", "claude-x")),
        ("openai/Qwen/Qwen3-8B", SERVER, ("openai", "Qwen/Qwen3-8B")),
        ("Qwen/Qwen3-8B", SERVER, ("openai", "Qwen/Qwen3-8B")),
        ("claude-x", SERVER, ("openai", "claude-x")),
        ("qwen3:8b", SERVER, ("openai", "qwen3:8b")),
        ("anything", SERVER, ("openai", "anything")),
    ],
)
def test_model_names_are_parsed(model: str, base_url: str | None, expected: tuple[str, str]) -> None:
    name = parse_model_name(model, base_url=base_url)
    assert name == ModelName(*expected)
    assert str(name) == "/".join(expected)


@pytest.mark.parametrize("model", ["llama3", "Gpt-4o", "", "my-gpt-4o"])
def test_a_bare_name_of_an_unknown_family(model: str) -> None:
    with pytest.raises(ModelNotFound, match=f'Cannot infer the provider of model "{model}". Write it as provider/'):
        parse_model_name(model)
