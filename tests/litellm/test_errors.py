"""Failures specific to LiteLLM; tests/system/test_provider_errors.py covers the shared ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vmpilot.contract import AuthenticationFailed, ModelTimeout, RateLimited, Secret, StreamInterrupted, TimeLimits
from vmpilot.testing import Drop, Framing, HttpError, Raw, Reply, ScriptedServer

if TYPE_CHECKING:
    from tests.litellm.conftest import TurnRunner

KEY = "sk-test-0123456789abcdef"


async def test_answer_without_a_finish_reason_is_truncated(run_turn: TurnRunner) -> None:
    with ScriptedServer([Reply("an answer", framing=Framing(finish=False))]) as server:
        turn = await run_turn(server.base_url)
    assert (turn.answer.text, turn.answer.finish) == ("an answer", "cut")


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
async def test_json_instead_of_a_stream_is_read(run_turn: TurnRunner, model: str) -> None:
    body = (
        '\n{"choices": [{"message": {"role": "assistant", "content": "whole", "tool_calls": ['
        '{"id": "a", "type": "function", "function": {"name": "shell", "arguments": "{}"}},'
        '{"id": "", "type": "function", "function": {"name": "shell", "arguments": "[]"}}]},'
        '"finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}'
    )
    with ScriptedServer([Raw(text=body), Reply("ok")], strict=False) as server:
        turn = await run_turn(server.base_url, model=model)
    assert turn.completed[0].message.text == "whole"
    assert [call.arguments for call in turn.toolbox.calls] == ["{}", "[]"]


async def test_silence_beyond_the_clients_limit_is_a_timeout(run_turn: TurnRunner) -> None:
    with ScriptedServer([Reply("late", delay=60.0)]) as server:
        limits = TimeLimits(whole=-59.8)  # the client waits for another minute
        with pytest.raises(ModelTimeout, match="did not answer in time"):
            await run_turn(server.base_url, time_limits=limits)


@pytest.mark.parametrize(
    ("model", "variable"),
    [("gpt-4o", "OPENAI_API_KEY"), ("claude-sonnet-4-5", "ANTHROPIC_API_KEY")],
)
async def test_missing_key_names_its_variable(
    run_turn: TurnRunner, model: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_API_BASE"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # no request is made; if one were, it would stay off the network
    with pytest.raises(AuthenticationFailed, match=f"^There is no key for .*: set {variable} or VMPILOT_API_KEY$"):
        await run_turn(None, model=model, api_key=None)


async def test_earlier_attempt_does_not_change_a_later_error(run_turn: TurnRunner) -> None:
    with ScriptedServer([HttpError(429, "slow down"), Drop("headers")]) as server:
        try:
            await run_turn(server.base_url)
        except RateLimited:
            with pytest.raises(StreamInterrupted):
                await run_turn(server.base_url)


def test_secret_is_masked_everywhere(run_turn: TurnRunner) -> None:
    assert KEY not in repr(run_turn.request("http://server/v1", api_key=Secret(KEY)))
