"""The request to the provider: settings, keys, messages and tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    ImagePart,
    Message,
    ModelCall,
    ModelNotFound,
    ModelSettings,
    Secret,
    TextPart,
    TimeLimits,
    ToolCall,
    ToolResult,
    UserMessage,
)
from vmpilot.providers import chat_messages, parse_model_name
from vmpilot.testing import Reply, ScriptedServer
from vmpilot_backend_litellm.arguments import make_arguments

if TYPE_CHECKING:
    from tests.litellm.conftest import TurnRunner

WHOLE_ROUTES = ("groq/m", "openrouter/m")
BODY_ROUTES = ("openai/m", "hosted_vllm/m", "Qwen/Qwen3-8B")


@pytest.mark.parametrize("model", BODY_ROUTES + WHOLE_ROUTES)
async def test_settings_and_tools_are_sent(run_turn: TurnRunner, model: str) -> None:
    with ScriptedServer([Reply("ok")]) as server:
        await run_turn(
            server.base_url, model=model, temperature=0.25, max_tokens=123, seed=7, api_key=Secret("sk-mine")
        )
        request = server.requests[0]
    name = model.removeprefix("openai/").removeprefix("hosted_vllm/").removeprefix("groq/").removeprefix("openrouter/")
    expected = {"model": name, "temperature": 0.25, "max_tokens": 123, "seed": 7, "stream": True}
    assert {key: request.body[key] for key in expected} == expected
    assert request.body["stream_options"] == {"include_usage": True}
    assert [tool["function"]["name"] for tool in request.body["tools"]] == ["shell"]
    assert request.headers["authorization"] == "Bearer sk-mine"


@pytest.mark.parametrize("model", BODY_ROUTES)
async def test_reasoning_effort_is_sent_for_models_unknown_to_litellm(run_turn: TurnRunner, model: str) -> None:
    with ScriptedServer([Reply("ok")]) as server:
        await run_turn(server.base_url, model=model, reasoning_effort="low")
    assert server.requests[0].body["reasoning_effort"] == "low"


async def test_unset_settings_are_not_sent(run_turn: TurnRunner) -> None:
    with ScriptedServer([Reply("ok")]) as server:
        await run_turn(server.base_url, tools=())
    assert set(server.requests[0].body) == {"messages", "model", "stream", "stream_options"}


@pytest.mark.parametrize("model", [*BODY_ROUTES, "openrouter/m"])
async def test_rejected_parameters_are_omitted(run_turn: TurnRunner, model: str) -> None:
    omitted = ("stream_options", "temperature", "seed", "max_tokens", "reasoning_effort")
    with ScriptedServer([Reply("ok")]) as server:
        await run_turn(
            server.base_url, model=model, temperature=0.5, max_tokens=9, seed=7, reasoning_effort="low", omitted=omitted
        )
    body = server.requests[0].body
    assert set(omitted).isdisjoint(body)
    assert (body["stream"], body["max_completion_tokens"]) == (True, 9)


@pytest.mark.parametrize("model", BODY_ROUTES)
@pytest.mark.parametrize(("settings", "asked"), [({"streaming": False}, False), ({"omitted": ("stream",)}, None)])
async def test_answer_in_one_piece_is_requested(
    run_turn: TurnRunner, model: str, settings: dict[str, Any], asked: bool | None
) -> None:
    with ScriptedServer([Reply("ok")]) as server:
        turn = await run_turn(server.base_url, model=model, **settings)
    assert turn.text == "ok"
    assert server.requests[0].body.get("stream") is asked
    assert "stream_options" not in server.requests[0].body


@pytest.mark.parametrize("model", BODY_ROUTES + WHOLE_ROUTES)
async def test_whole_history_is_sent_unchanged(run_turn: TurnRunner, model: str) -> None:
    history = _long_history()
    with ScriptedServer([Reply("ok")]) as server:
        await run_turn(server.base_url, model=model, messages=history)
    assert server.requests[0].messages == chat_messages(history, system="Be brief.")


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m", "groq/m"])
async def test_custom_server_never_gets_the_providers_key(
    run_turn: TurnRunner, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "HOSTED_VLLM_API_KEY", "GROQ_API_KEY"):
        monkeypatch.setenv(name, "sk-of-the-provider")
    with ScriptedServer([Reply("ok")]) as server:
        await run_turn(server.base_url, model=model, api_key=None)
    assert server.requests[0].headers["authorization"] == "Bearer none"


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "OPENAI_API_BASE"])
async def test_variables_of_the_provider_apply(
    run_turn: TurnRunner, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer([Reply("ok")]) as server:
        monkeypatch.setenv(variable, server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-provider")
        await run_turn(None, model="gpt-4o", api_key=None)
    assert server.requests[0].headers["authorization"] == "Bearer sk-of-the-provider"
    assert server.requests[0].body["model"] == "gpt-4o"


async def test_unknown_name_without_a_provider_is_an_error(run_turn: TurnRunner) -> None:
    with pytest.raises(ModelNotFound, match="provider/wizard"):
        await run_turn(None, model="wizard")


@pytest.mark.parametrize(
    ("model", "base_url", "effort", "in_body"),
    [
        ("gpt-4o", None, None, True),
        ("gpt-4o", "http://server/v1", None, True),
        ("openai/anything", "http://server/v1", "high", True),
        ("hosted_vllm/gpt-5.4", None, None, True),
        # These may go to OpenAI's Responses API, which LiteLLM makes from `messages`.
        ("gpt-5.4", None, None, False),
        ("gpt-5.4", "http://server/v1", "high", False),
        ("gpt-5-codex", "http://server/v1", None, False),
        ("openai/responses/gpt-4o", None, None, False),
        # These have their own formats.
        ("anthropic/claude-sonnet-4-5", None, None, False),
        ("gemini/gemini-2.5-pro", None, None, False),
        ("azure/gpt-4o", "http://server", None, False),
    ],
)
def test_messages_bypass_litellm_only_if_it_merges_the_body(
    litellm: Any, model: str, base_url: str | None, effort: Any, in_body: bool
) -> None:
    arguments = _make(litellm, model, base_url=base_url, reasoning_effort=effort)
    assert ("extra_body" in arguments) is in_body
    conversation = arguments["extra_body"]["messages"] if in_body else arguments["messages"]
    assert conversation[-1] == {"role": "user", "content": "hello"}


def test_timeouts_exceed_the_cores_and_retries_are_off(litellm: Any) -> None:
    arguments = _make(litellm, "gpt-4o", time_limits=TimeLimits(connect=3.0, whole=100.0))
    assert (arguments["num_retries"], arguments["max_retries"]) == (0, 0)
    assert arguments["timeout"].connect == 3.0
    assert arguments["timeout"].read > 100.0


def test_ollama_uses_the_chat_api(litellm: Any) -> None:
    assert _make(litellm, "ollama/qwen3")["model"] == "ollama_chat/qwen3"


def _make(litellm: Any, model: str, **settings: Any) -> dict[str, Any]:
    call = ModelCall((UserMessage.from_text("hello"),), "", model, ModelSettings(**settings), ())
    return make_arguments(call, parse_model_name(model, base_url=call.settings.base_url), litellm=litellm)


def _long_history() -> list[Message]:
    image = ImagePart("data:image/png;base64,iVBORw0KGgo=", detail="low")
    history: list[Message] = [UserMessage((TextPart("what is this?"), image)), AssistantMessage("a picture")]
    for number in range(50):
        call = ToolCall(f"call_{number}", "shell", f'{{"command": "echo {number} grüße 世界 😀"}}')
        history += [
            UserMessage.from_text(f"do {number}"),
            AssistantMessage("I will.", tool_calls=(call,), finish="tool_calls"),
            ToolResult(call.id, call.name, f"{number}\n\x1b[1mbold\x1b[0m"),
            AssistantMessage("Done."),
        ]
    return [*history, UserMessage.from_text("and now?")]
