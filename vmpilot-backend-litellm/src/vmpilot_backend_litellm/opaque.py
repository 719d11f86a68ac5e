"""What a provider wants back unchanged with the next request: signed or hidden reasoning, joined from its pieces.

It goes back as keys of the assistant message's dictionary, which LiteLLM turns into the provider's own form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_WANT_REASONING_BACK = frozenset({"deepseek", "moonshot"})
"""Providers that refuse a tool's result unless the message that asked for it comes back with its reasoning."""

_GROWING = frozenset({"data", "signature", "summary", "text", "thinking"})
"""The members of a block whose pieces follow one another; of any other member the last value stays."""


class OpaqueData:
    """Collects it from the deltas of one answer."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._reasoning: list[str] = []
        self._blocks: list[dict[str, Any]] = []
        self._details: list[dict[str, Any]] = []
        self._signatures: list[str] = []

    def add_delta(self, delta: Mapping[str, Any], reasoning: str | None) -> None:
        """Take in a delta and the reasoning that was read out of it."""
        if reasoning:
            self._reasoning.append(reasoning)
        _join_pieces(self._blocks, delta.get("thinking_blocks") or ())
        _join_pieces(self._details, delta.get("reasoning_details") or ())
        fields = delta.get("provider_specific_fields") or {}
        self._signatures += fields.get("thought_signatures") or ()

    def collect(self) -> dict[str, Any]:
        """The keys of the message's dictionary; empty for most providers."""
        data: dict[str, Any] = {}
        if self._blocks:
            data["thinking_blocks"] = self._blocks
        if self._details:
            data["reasoning_details"] = self._details
        if self._signatures:
            data["provider_specific_fields"] = {"thought_signatures": self._signatures}
        if self._reasoning and self._provider in _WANT_REASONING_BACK:
            data["reasoning_content"] = "".join(self._reasoning)
        return data


def _join_pieces(blocks: list[dict[str, Any]], pieces: Iterable[Mapping[str, Any]]) -> None:
    """Add the pieces to the last block for as long as they belong to it; a signature or hidden data ends a block."""
    for piece in pieces:
        if not blocks or _is_complete(blocks[-1]) or not _is_same_block(blocks[-1], piece):
            blocks.append(dict(piece))
            continue
        block = blocks[-1]
        block.update({name: _join_values(block.get(name), value, name, piece) for name, value in piece.items()})


def _join_values(old: object, new: object, name: str, piece: Mapping[str, Any]) -> object:
    if new is None:
        return old
    if name not in _GROWING or not isinstance(old, str) or not isinstance(new, str):
        return new
    # LiteLLM repeats the whole of Anthropic's text beside its signature.
    repeats = name == "thinking" and piece.get("signature") and new.startswith(old)
    return new if repeats else old + new


def _is_complete(block: Mapping[str, Any]) -> bool:
    return bool(block.get("signature") or block.get("data"))


def _is_same_block(block: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    return block.get("type") == piece.get("type") and block.get("index") == piece.get("index")
