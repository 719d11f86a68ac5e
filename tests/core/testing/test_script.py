"""The values of a script."""

from __future__ import annotations

import pytest

from vmpilot.testing import Reply, ScriptedCall
from vmpilot.testing.script import Chunks, split_text


@pytest.mark.parametrize(
    ("text", "chunks", "pieces"),
    [
        ("", None, ()),
        ("one two  three", None, ("one ", "two  ", "three")),
        ("  lead\n", None, ("  lead\n",)),
        ("   ", None, ("   ",)),
        ("abcdefg", 3, ("abc", "de", "fg")),
        ("abc", 3, ("a", "b", "c")),
        ("ab", 5, ("a", "b")),
        ("abc", 0, ("abc",)),
        ("", 4, ()),
        ("", ("x", "", "y"), ("x", "", "y")),
    ],
)
def test_split_text(text: str, chunks: Chunks, pieces: tuple[str, ...]) -> None:
    assert split_text(text, chunks) == pieces


def test_many_chunks_lose_nothing() -> None:
    text = "".join(map(str, range(3_000)))
    pieces = split_text(text, 5_000)
    assert len(pieces) == 5_000
    assert "".join(pieces) == text


def test_arguments_as_dict_are_dumped_and_as_string_kept() -> None:
    assert ScriptedCall("shell", {"command": "grüße"}).argument_text == '{"command": "grüße"}'
    assert ScriptedCall("shell", '{"command": "rm -rf /srv').argument_text == '{"command": "rm -rf /srv'


def test_finish_reason_is_derived_unless_given_or_withheld() -> None:
    call = ScriptedCall("shell", {})
    assert Reply("done").finish_reason == "stop"
    assert Reply(tool_calls=(call,)).finish_reason == "tool_calls"
    assert Reply("half", finish="length").finish_reason == "length"


def test_chunks_that_differ_from_the_text_are_rejected() -> None:
    assert Reply(chunks=("a", "b")).whole_text == "ab"
    with pytest.raises(ValueError, match="are not its text"):
        Reply("abc", chunks=("a", "b"))
