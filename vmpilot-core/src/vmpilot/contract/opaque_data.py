"""What a provider wants back unchanged with the next request: signed or hidden reasoning, joined from its pieces.

It goes back as keys of the assistant message's dictionary. Their forms are LiteLLM's `thinking_blocks` and
`provider_specific_fields` (https://docs.litellm.ai/docs/reasoning_content), which its proxy sends as well, and
OpenRouter's `reasoning_details` (https://openrouter.ai/docs/use-cases/reasoning-tokens).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_GROWING = frozenset({"data", "signature", "summary", "text", "thinking"})
"""The members of a block whose pieces follow one another; of any other member the last value stays."""


class OpaqueData:
    """Collects it from the deltas of one answer."""

    def __init__(self) -> None:
        self._blocks: list[dict[str, Any]] = []
        self._details: list[dict[str, Any]] = []
        self._signatures: list[str] = []

    def add_delta(self, delta: Mapping[str, Any]) -> None:
        """Take in what a delta holds of it."""
        if blocks := delta.get("thinking_blocks"):
            _join_pieces(self._blocks, blocks)
        if details := delta.get("reasoning_details"):
            _join_pieces(self._details, details)
        if fields := delta.get("provider_specific_fields"):
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
