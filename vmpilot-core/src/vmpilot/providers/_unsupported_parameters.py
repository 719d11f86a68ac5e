"""Detects which chat completions parameter a server rejects as unsupported, in any provider's wording.

Only optional parameters that VMPilot sends count, and only if the parameter itself is rejected, not its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "max_completion_tokens": "max_completion_tokens",
        "max_tokens": "max_tokens",
        "parallel_tool_calls": "parallel_tool_calls",
        "reasoning_?effort": "reasoning_effort",  # xAI writes it as one word
        "seed": "seed",
        "stream": "stream",
        "stream_options": "stream_options",
        "temperature": "temperature",
        "tools": "tools",
    }
)
"""Patterns for the ways that servers write each parameter."""

_ALWAYS_FIT = frozenset({"parallel_tool_calls", "stream_options"})
"""Parameters whose value cannot be the cause of a complaint."""

_NOT_TAKEN = frozenset({"unknown_parameter", "unsupported_parameter"})

# Not part of a longer name or path: `tools.0.function` is a complaint about the contents of the tool.
_NAME = rf"(?<![\w.])(?P<name>{'|'.join(_SPELLINGS)})(?!\w|\W{{0,3}}\d)"
_THING = r"(?:request|keyword|input|body|loc|msg|param|parameter|argument|field|key|name|property|propertie)s?"
_BEFORE = (
    r"(?:\b(?:unknown|unsupported|unrecogni[sz]ed|unexpected|extra|extra_forbidden)|"
    r"\badditional properties are not allowed|(?:does not|doesn't) support(?: the)?|not supported on this model)"
    rf"(?:\W+(?:{_THING}|supplied|in object|s))*\W{{1,8}}"
)
_AFTER = (
    rf"\W{{1,8}}(?:{_THING}\W+)?(?:specified in the request\W+)?(?:(?:is|are|was)\W+)?"
    r"(?:not (?:currently )?(?:supported|allowed|permitted|recogni[sz]ed)|unsupported|unexpected|unknown|"
    r"only allowed when|deprecated|extra (?:inputs|fields)|does not support true)"
)
_REFUSED = re.compile(rf"{_BEFORE}{_NAME}|{_NAME.replace('?P<name>', '?P<other>')}{_AFTER}", re.IGNORECASE)
_ONLY_DEFAULT = re.compile(r"temperature\b.{0,80}only the default\b.{0,20}\bsupported", re.IGNORECASE | re.DOTALL)
# Anthropic, if the history contains calls by a model without thinking.
_NO_THINKING = re.compile(r"expected \W?thinking\W? or \W?redacted_thinking", re.IGNORECASE)
_NO_STREAM = re.compile(r"must be verified to stream|in streaming mode", re.IGNORECASE)

_LOOKED_AT = 10_000


def find_unsupported_parameter(text: str, *, code: str = "", named: str = "") -> str | None:
    """The first parameter that a server's error text rejects, or None.

    `code` and `named` are the `code` and `param` members of OpenAI's error.
    """
    named = named.partition(".")[0]
    if named in _ALWAYS_FIT or (named in _SPELLINGS.values() and not _NOT_TAKEN.isdisjoint(code.split())):
        return named
    text = text[:_LOOKED_AT]
    if _NO_STREAM.search(text):
        return "stream"
    if _NO_THINKING.search(text):
        return "reasoning_effort"
    if found := _REFUSED.search(text):
        return _read_spelling(found["name"] or found["other"])
    return "temperature" if _ONLY_DEFAULT.search(text) else None


def _read_spelling(written: str) -> str:
    return next(name for spelling, name in _SPELLINGS.items() if re.fullmatch(spelling, written, re.IGNORECASE))
