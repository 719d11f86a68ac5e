"""Replies that break the rules in every observed or likely way, as Hypothesis strategies.

Each one identifies its request (`$ID` is replaced by the id), so it must end the call at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["caf\xe9", "a\ud83d b", "\U0001f600", "line\nbreak", "\x00\x1b[31m\u202e", "NaN", "$", ""]),
    st.text(alphabet=st.characters(categories=["Cs", "Cc", "Cf", "Zl"]), max_size=5),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.just(float("nan")), TEXTS
)
BLOCKS = st.one_of(
    SCALARS,
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.one_of(
                st.sampled_from(["text", "image", "audio", "resource", "resource_link", "video", "TEXT"]), SCALARS
            ),
            "text": SCALARS,
            "data": SCALARS,
            "mimeType": SCALARS,
            "uri": SCALARS,
            "description": SCALARS,
            "resource": st.one_of(
                SCALARS, st.fixed_dictionaries({}, optional={"uri": SCALARS, "text": SCALARS, "blob": SCALARS})
            ),
        },
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
RESULTS = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {},
        optional={
            "content": st.one_of(SCALARS, BLOCKS, st.lists(BLOCKS, max_size=4)),
            "structuredContent": VALUES,
            "isError": SCALARS,
            "_meta": VALUES,
            "resultType": st.one_of(SCALARS, st.sampled_from(["complete", "input_required"])),
            "ttlMs": SCALARS,
            "task": VALUES,
        },
    ),
)
ERRORS = st.one_of(
    VALUES.filter(lambda value: value is not None),
    st.fixed_dictionaries(
        {},
        optional={"code": st.one_of(SCALARS, st.just(-32000)), "message": SCALARS, "data": VALUES},
    ),
)
IDS = st.sampled_from(["$ID", '"$ID"', "$ID.0", " $ID "])


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """A reply as bytes, with the newline that ends it."""
    indent = draw(st.sampled_from([None, None, None, 1]))
    members = draw(_members(indent))
    names = draw(st.permutations(list(members))) if indent is None else draw(st.sampled_from(_orders(members)))
    separator = ",\n " if indent else draw(st.sampled_from([",", ", "]))
    text = "{" + separator.join(f'"{name}": {members[name]}' for name in names) + "}"
    data = text.encode("utf-8", "surrogatepass") if draw(st.booleans()) else _latin(text)
    how = draw(st.sampled_from(["whole", "whole", "cut", "batch", "mark"]))
    if how == "cut" and names[:2] == ["jsonrpc", "id"] and len(names) > 2:
        data = data[: data.index(f'"{names[2]}"'.encode()) + len(names[2]) + 2 + draw(st.integers(0, 20))]
    elif how == "batch" and indent is None:
        data = b'[{"jsonrpc": "2.0", "method": "notifications/message"}, ' + data + b"]"
    elif how == "mark":
        data = b"\xef\xbb\xbf" + data
    return data.rstrip(b"\n") + draw(st.sampled_from([b"\n", b"\r\n"]))


@st.composite
def _members(draw: st.DrawFn, indent: int | None) -> dict[str, str]:
    """The members of a reply as JSON."""
    ascii_only = draw(st.booleans())

    def dump(value: Any) -> str:
        return json.dumps(value, ensure_ascii=ascii_only, indent=indent).replace("$ID", "$")

    members = {"jsonrpc": dump(draw(st.sampled_from(["2.0", "2.0", "1.0", 2.0, None]))), "id": draw(IDS)}
    kinds = draw(st.sampled_from([["result"], ["result"], ["error"], ["result", "error"], ["result", "null"], []]))
    if "result" in kinds or (indent and not kinds):
        members["result"] = dump(draw(RESULTS))
    if "error" in kinds:
        members["error"] = dump(draw(ERRORS))
    if "null" in kinds:
        members["error"] = "null"
    return members


def _orders(members: Iterable[str]) -> list[list[str]]:
    """The member orders that serializers use."""
    orders = (
        ("jsonrpc", "id", "result", "error"),
        ("jsonrpc", "result", "error", "id"),
        ("id", "jsonrpc", "error", "result"),
    )
    return [[name for name in order if name in members] for order in orders]


def _latin(text: str) -> bytes:
    return b"".join(
        char.encode("latin-1") if ord(char) < 256 else char.encode("utf-8", "surrogatepass") for char in text
    )
