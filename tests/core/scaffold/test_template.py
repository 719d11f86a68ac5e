"""The backend that `vmpilot backends new` creates: its server, its key, and its requests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from vmpilot import scaffold
from vmpilot.contract import (
    AuthenticationFailed,
    ImagePart,
    ModelCall,
    ModelNotFound,
    ModelSettings,
    Secret,
    TextPart,
    ToolSpec,
    UserMessage,
)

SOURCES = Path(scaffold.__file__).parent / "template" / "src"
KEY = "sk-template-0123456789"


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The template's module, imported in place."""
    monkeypatch.syspath_prepend(SOURCES)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    from vmpilot_backend_newbackend import agent

    yield agent
    for name in [name for name in sys.modules if name.startswith("vmpilot_backend_newbackend")]:
        del sys.modules[name]


def make_call(model: str = "gpt-4o", tools: tuple[ToolSpec, ...] = (), **settings: object) -> ModelCall:
    picture = UserMessage((TextPart("What is this?"), ImagePart("data:image/png;base64,AAAA")))
    return ModelCall((picture,), "Be brief.", model, ModelSettings(**settings), tools)  # type: ignore[arg-type]


def test_the_providers_own_key_goes_to_the_provider(agent: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    target = agent.choose_target(make_call())
    assert (agent.find_address(target), target.key.reveal()) == ("https://api.openai.com/v1", KEY)
    assert KEY not in repr(target) + str(target) + target.quote(f"wrong key {KEY}")


def test_a_custom_server_gets_no_key_of_a_provider(agent: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    target = agent.choose_target(make_call(base_url="http://127.0.0.1:1/v1/"))
    assert (agent.find_address(target), target.key) == ("http://127.0.0.1:1/v1", None)


def test_an_explicit_key_wins(agent: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    assert agent.choose_target(make_call(api_key=Secret(KEY))).key == Secret(KEY)


def test_a_missing_or_invalid_key_and_an_unknown_provider_are_reported(agent: ModuleType) -> None:
    with pytest.raises(AuthenticationFailed, match="OPENAI_API_KEY or VMPILOT_API_KEY"):
        agent.choose_target(make_call())
    with pytest.raises(AuthenticationFailed, match="line break"):
        agent.choose_target(make_call(api_key=Secret(f"{KEY}\n")))
    with pytest.raises(ModelNotFound, match="set VMPILOT_BASE_URL"):
        agent.find_address(agent.choose_target(make_call("nobody/model", api_key=Secret(KEY))))


def test_the_request_that_is_sent(agent: ModuleType) -> None:
    spec = ToolSpec("shell", "Run.", {"type": "object", "properties": {}})
    call = make_call("m", (spec,), base_url="http://127.0.0.1:1/v1", max_tokens=9, omitted=("stream_options",))
    body = agent.write_body(call, agent.choose_target(call))
    assert (body["model"], body["stream"], body["max_tokens"], "stream_options" in body) == ("m", True, 9, False)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,AAAA"},
    }
    assert [tool["function"]["name"] for tool in body["tools"]] == ["shell"]


def test_openai_gets_the_token_limit_under_its_new_name(agent: ModuleType) -> None:
    call = make_call(api_key=Secret(KEY), max_tokens=9)
    body = agent.write_body(call, agent.choose_target(call))
    assert (body["max_completion_tokens"], "max_tokens" in body, "tools" in body) == (9, False, False)
