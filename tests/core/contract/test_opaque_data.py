"""What a provider wants back unchanged, joined from the pieces of its stream."""

from __future__ import annotations

from typing import Any

from vmpilot.contract import CompletionReader, ModelName, ModelTarget


def _read(provider: str, *deltas: dict[str, Any]) -> dict[str, Any] | None:
    reader = CompletionReader(ModelTarget(ModelName(provider, "m")))
    for delta in deltas:
        reader.read({"choices": [{"index": 0, "delta": delta}]})
    return reader.complete(end_is_told=True).message.provider_data


def _thinking(**block: str) -> dict[str, Any]:
    return {"thinking_blocks": [{"type": "thinking", **block}]}


def test_a_signature_ends_a_block_of_reasoning() -> None:
    deltas = [_thinking(thinking="a"), _thinking(thinking="b"), _thinking(signature="s1"), _thinking(thinking="c")]
    assert _read("bedrock", *deltas) == {
        "thinking_blocks": [
            {"type": "thinking", "thinking": "ab", "signature": "s1"},
            {"type": "thinking", "thinking": "c"},
        ]
    }


def test_hidden_reasoning_stays_a_block_of_its_own() -> None:
    hidden = {"thinking_blocks": [{"type": "redacted_thinking", "data": "x"}]}
    data = _read("anthropic", hidden, hidden, _thinking(thinking="a", signature="s"))
    assert data is not None
    assert [block["type"] for block in data["thinking_blocks"]] == [
        "redacted_thinking",
        "redacted_thinking",
        "thinking",
    ]


def test_openrouters_details_are_joined_by_kind_and_index() -> None:
    def detail(**members: Any) -> dict[str, Any]:
        return {"reasoning_details": [members]}

    data = _read(
        "openrouter",
        detail(type="reasoning.text", text="I ", index=0, format="f"),
        detail(type="reasoning.text", text="think", index=0, signature=None),
        detail(type="reasoning.encrypted", data="abc", index=1),
    )
    assert data == {
        "reasoning_details": [
            {"type": "reasoning.text", "text": "I think", "index": 0, "format": "f", "signature": None},
            {"type": "reasoning.encrypted", "data": "abc", "index": 1},
        ]
    }
