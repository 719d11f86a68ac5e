"""Providers with OpenAI's format: each is called through our own HTTP client, with its own key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vmpilot.contract import AssistantMessage, AuthenticationFailed, InvalidRequest, ToolCall, ToolResult, UserMessage
from vmpilot.providers.provider_table import PROVIDERS
from vmpilot.testing import Raw, Reply, ScriptedServer

if TYPE_CHECKING:
    from tests.litellm.conftest import TurnRunner

OPENAI_LIKE = sorted(name for name, provider in PROVIDERS.items() if provider.speaks_openai)


@pytest.mark.parametrize("provider", OPENAI_LIKE)
@pytest.mark.parametrize("streaming", [True, False])
async def test_no_redirect_is_followed(run_turn: TurnRunner, provider: str, streaming: bool) -> None:
    with ScriptedServer([]) as other:
        redirect = Raw(status=307, headers={"Location": f"{other.base_url}/chat/completions"}, text="")
        with ScriptedServer([redirect]) as server, pytest.raises(InvalidRequest, match="redirects to"):
            await run_turn(server.base_url, model=f"{provider}/m", streaming=streaming)
    assert other.requests == ()


@pytest.mark.parametrize("provider", ["moonshot", "perplexity"])
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_answer_is_read(run_turn: TurnRunner, provider: str, streaming: bool) -> None:
    with ScriptedServer([Reply("Yes.")]) as server:
        turn = await run_turn(server.base_url, model=f"{provider}/m", streaming=streaming)
    assert turn.text == "Yes."
    assert server.requests[0].body["model"] == "m"


async def test_openai_key_is_sent_only_to_openai(run_turn: TurnRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer([Reply("Yes.")]) as server:
        monkeypatch.setenv("MOONSHOT_API_BASE", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
        monkeypatch.delenv("MOONSHOT_API_KEY", raising=False)
        with pytest.raises(AuthenticationFailed, match="set MOONSHOT_API_KEY or VMPILOT_API_KEY"):
            await run_turn(None, model="moonshot/m", api_key=None)
        monkeypatch.setenv("MOONSHOT_API_KEY", "sk-of-moonshot")
        await run_turn(None, model="moonshot/m", api_key=None)
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer sk-of-moonshot"]


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
async def test_messages_are_sent_without_loss(run_turn: TurnRunner, provider: str) -> None:
    """LiteLLM drops these from plain `messages`: a null content, and reasoning blocks that must be sent back."""
    blocks = [{"type": "thinking", "thinking": "I think.", "signature": "c2lnbmVk"}]
    call = ToolCall("call_1", "shell", '{"command": "ls')
    answer = AssistantMessage(
        tool_calls=(call,), finish="tool_calls", provider=provider, provider_data={"thinking_blocks": blocks}
    )
    result = ToolResult("call_1", "shell", "The arguments are not JSON.", is_error=True)
    with ScriptedServer([Reply("Yes.")], strict=False) as server:
        await run_turn(
            server.base_url, model=f"{provider}/m", messages=[UserMessage.from_text("List it."), answer, result]
        )
    assert server.requests[0].messages[2] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "shell", "arguments": call.arguments}}
        ],
        "thinking_blocks": blocks,
    }
