"""Provider data that the next request must return unchanged: signed or hidden reasoning, joined from its chunks.

It is sent back as keys in the dictionaries of the assistant message and its calls. The formats are LiteLLM's
`thinking_blocks` and `provider_specific_fields` (https://docs.litellm.ai/docs/reasoning_content), which its proxy also
sends, OpenRouter's `reasoning_details` (https://openrouter.ai/docs/use-cases/reasoning-tokens), and Google's
`extra_content` (https://ai.google.dev/gemini-api/docs/thought-signatures#openai).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CALL_KEYS = frozenset({"extra_content", "provider_specific_fields", "thought_signature"})
"""The keys that a tool call's dictionary, or its function's, may have."""
CALLS = "tool_calls"
"""Under this key, `provider_data` holds one dictionary for each call of the message, in order.

Each may have `CALL_KEYS`, and `function` with the keys of the call's function."""

LARGEST = 4_000_000
"""Approximate limit, in characters, on the data kept for one answer; signatures have a few thousand."""
_DEEPEST = 20

_NOT_OURS = frozenset({"additional_kwargs", "content", "role", CALLS})
"""Keys of a message's dictionary that opaque data cannot replace, and the keys that hold LangChain's own messages."""
_THINKING = frozenset({"redacted_thinking", "thinking"})

_GROWING = frozenset({"data", "signature", "summary", "text", "thinking"})
"""The members of a block whose chunks are concatenated; any other member keeps its last value."""


class ProviderMetadata:
    """Collects provider data from the deltas of one answer; `size` is its current size in characters."""

    def __init__(self) -> None:
        self.size = 0
        self._blocks: list[dict[str, Any]] = []
        self._details: list[dict[str, Any]] = []
        self._signatures: list[str] = []
        self._extra: dict[str, Any] = {}
        self._calls: dict[int, dict[str, Any]] = {}

    def add_delta(self, delta: Mapping[str, Any]) -> None:
        """Add the provider data in a delta, apart from its calls."""
        if (blocks := delta.get("thinking_blocks")) and self._admits(blocks):
            _join_pieces(self._blocks, blocks)
        if (details := delta.get("reasoning_details")) and self._admits(details):
            _join_pieces(self._details, details)
        fields = delta.get("provider_specific_fields")
        if fields and (signatures := fields.get("thought_signatures")) and self._admits(signatures):
            self._signatures += signatures
        extra = delta.get("extra_content")
        if isinstance(extra, Mapping) and self._admits(extra):
            _merge(self._extra, extra)

    def add_call(self, position: int, fragment: Mapping[str, Any]) -> None:
        """Add the provider data in a fragment of a tool call; `position` counts the message's calls from 0."""
        function = fragment.get("function") or {}
        for holder, place in ((fragment, ()), (function, ("function",))):
            for name in CALL_KEYS & holder.keys():
                if holder[name] and self._admits(holder[name]):
                    kept = self._calls.setdefault(position, {})
                    for step in place:
                        kept = kept.setdefault(step, {})
                    _merge(kept, {name: holder[name]})

    def collect(self) -> dict[str, Any]:
        """The keys for the message's dictionary; empty for most providers."""
        data: dict[str, Any] = {}
        if self._blocks:
            data["thinking_blocks"] = self._blocks
        if self._details:
            data["reasoning_details"] = self._details
        if self._signatures:
            data["provider_specific_fields"] = {"thought_signatures": self._signatures}
        if self._extra:
            data["extra_content"] = self._extra
        if self._calls:
            data[CALLS] = [self._calls.get(position, {}) for position in range(max(self._calls) + 1)]
        return data

    def _admits(self, value: Any) -> bool:
        """Whether the value can be stored and sent again as JSON; if so, its size is counted."""
        size = _measure(value)
        self.size += size or 0
        return size is not None


def read_message_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """The message dictionary's keys in opaque data, from any backend."""
    keys = {name: value for name, value in data.items() if name not in _NOT_OURS}
    content = data.get("content")
    if "thinking_blocks" not in keys and isinstance(content, list):  # Anthropic's own blocks
        blocks = [block for block in content if isinstance(block, Mapping) and block.get("type") in _THINKING]
        if blocks:
            keys["thinking_blocks"] = [{k: v for k, v in block.items() if k != "index"} for block in blocks]
    return keys


def read_call_data(data: Mapping[str, Any], position: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The opaque data of one call: keys for its dictionary and its function's. It was read from a log."""
    calls = data.get(CALLS)
    found = calls[position] if isinstance(calls, Sequence) and position < len(calls) else None
    if not isinstance(found, Mapping):
        return {}, {}
    function = found.get("function")
    own = {name: value for name, value in found.items() if name in CALL_KEYS}
    inner = function if isinstance(function, Mapping) else {}
    return own, {name: value for name, value in inner.items() if name in CALL_KEYS}


def _measure(value: Any) -> int | None:
    """Its approximate size as JSON, in characters; None if it is too deep or has a number that JSON cannot express."""
    size = 0
    waiting: list[tuple[int, Any]] = [(0, value)]
    while waiting:
        depth, part = waiting.pop()
        if depth > _DEEPEST or (isinstance(part, float) and not math.isfinite(part)):
            return None
        size += 8
        match part:
            case str():
                size += len(part)
            case Mapping():
                size += sum(map(len, part))
                waiting += ((depth + 1, inner) for inner in part.values())
            case list() | tuple():
                waiting += ((depth + 1, inner) for inner in part)
            case _:
                pass
    return size


def _merge(kept: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Objects are merged member by member; anything else keeps its last value."""
    for name, value in new.items():
        before = kept.get(name)
        if isinstance(before, dict) and isinstance(value, Mapping):
            _merge(before, value)
        elif value is not None or before is None:
            kept[name] = _copy(value)


def _copy(value: Any) -> Any:
    """A mutable form of the value, so that later chunks can be merged into it."""
    return {name: _copy(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value


def _join_pieces(blocks: list[dict[str, Any]], pieces: Iterable[Mapping[str, Any]]) -> None:
    """Add the chunks to the last block as long as they belong to it; a signature or hidden data ends a block."""
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
    # LiteLLM repeats Anthropic's complete text next to its signature.
    repeats = name == "thinking" and piece.get("signature") and new.startswith(old)
    return new if repeats else old + new


def _is_complete(block: Mapping[str, Any]) -> bool:
    return bool(block.get("signature") or block.get("data"))


def _is_same_block(block: Mapping[str, Any], piece: Mapping[str, Any]) -> bool:
    return block.get("type") == piece.get("type") and block.get("index") == piece.get("index")
