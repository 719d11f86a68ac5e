"""Characters that a screen does not show become escapes; real text in any script is unchanged."""

from __future__ import annotations

import random
import sys
import unicodedata

import pytest
import regex  # type: ignore[import-untyped,unused-ignore]  # knows Unicode's own properties
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract.invisible import VisibleStream, describe_difference, escape_invisible, fold_invisible

EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1)]
EMOJI = ["⚠️ ok", "❤️", "1️⃣ #️⃣", "👩🏽‍💻", "👩‍❤️‍👨", "🏳️‍🌈", "🤷🏽‍♀️", "☎︎", "©️", "‼️", "🇩🇪"]
WORDS = ["می‌خواهم", "क्‍ष", "র‍্য", "ക്‌ഷ", "Grüße", "cafe\u0301", "日本語", "안녕", "שלום", "naïve", "ไทย", "𝄞"]
PIECES = st.lists(
    st.sampled_from([*EMOJI, *WORDS, *"\u200d\u200c\ufe0f\ufe0e\u202e\u3164 a1\n", "\U0001f3fb", "\u20e3", "\u094d"])
)


@pytest.mark.parametrize("text", [*EMOJI, *WORDS])
@pytest.mark.parametrize("exact", [False, True])
def test_real_text_is_unchanged(text: str, exact: bool) -> None:
    assert escape_invisible(text, exact=exact) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a\\u202eb"),
        ("\x1b[2J\r\x7f\x9b", "\\x1b[2J\\x0d\\x7f\\x9b"),
        ("r\u200dm", "r\\u200dm"),
        ("r\u200cm", "r\\u200cm"),
        ("rm\ufe0f", "rm\\ufe0f"),
        ("⚠\ufe0f\ufe0f", "⚠\ufe0f\\ufe0f"),
        ("1\ufe0f", "1\\ufe0f"),
        ("😀\U000e0101\U000e0164", "😀\\U000e0101\\U000e0164"),
        ("\U0001f3f4\U000e0067", "\U0001f3f4\\U000e0067"),
        ("👩\u200drm", "👩\\u200drm"),
        ("\ud800", "\\ud800"),
        ("\u200d", "\\u200d"),
        ("\ufe0f", "\\ufe0f"),
    ],
)
def test_invisible_characters_become_escapes(text: str, shown: str) -> None:
    assert escape_invisible(text) == escape_invisible(text, exact=True) == shown


@pytest.mark.parametrize("exact", [False, True])
def test_every_character_that_unicode_ignores_by_default_is_escaped(exact: bool) -> None:
    ignored = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    shown = [f"{ord(char):04X}" for char in EVERY_CHARACTER if ignored.match(char) and char in escape_invisible(char)]
    assert shown == []
    assert sum(1 for char in EVERY_CHARACTER if ignored.match(char)) > 4_000


def test_every_control_and_separator_is_escaped() -> None:
    categories = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    concatenated = regex.compile(r"\p{Prepended_Concatenation_Mark}")
    shown = [
        f"{ord(char):04X}"
        for char in EVERY_CHARACTER
        if unicodedata.category(char) in categories and escape_invisible(char) == char
    ]
    glyphs = [f"{ord(char):04X}" for char in EVERY_CHARACTER if concatenated.match(char)]
    assert shown == ["0009", "000A", *glyphs]


def test_all_other_assigned_characters_are_unchanged() -> None:
    categories = {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"}
    ignored = regex.compile(r"\p{Default_Ignorable_Code_Point}")
    escaped = [
        f"{ord(char):04X}"
        for char in EVERY_CHARACTER
        if escape_invisible(char) != char and unicodedata.category(char) not in categories and not ignored.match(char)
    ]
    assert escaped == ["1D159"]


def test_unusual_spaces_are_escaped_in_exact_mode() -> None:
    spaces = [char for char in EVERY_CHARACTER if unicodedata.category(char) == "Zs" and char != " "]
    assert len(spaces) > 10
    assert escape_invisible("".join(spaces)) == "".join(spaces)
    assert escape_invisible("".join([*spaces, "\u2800\ue0b0"]), exact=True).isascii()
    assert escape_invisible("rm -rf\u00a0/x", exact=True) == "rm -rf\\xa0/x"


@given(st.one_of(st.text(), PIECES.map("".join)), st.randoms(use_true_random=False))
def test_chunks_are_escaped_like_the_complete_text(text: str, chance: random.Random) -> None:
    stream, fed, position = VisibleStream(), "", 0
    while position < len(text):
        size = chance.choice([1, 1, 2, 5])
        fed += stream.feed(text[position : position + size])
        position += size
    assert fed + stream.flush() == escape_invisible(text)


@given(st.text())
def test_nothing_is_escaped_twice(text: str) -> None:
    once = escape_invisible(text, exact=True)
    assert escape_invisible(once, exact=True) == once


def test_a_stream_withholds_at_most_one_character() -> None:
    stream = VisibleStream()
    assert stream.feed("⚠") == "⚠"
    assert stream.feed("\ufe0f") == ""
    assert stream.feed(" ok") == "\ufe0f ok"
    assert stream.feed("\u200d" * 9) == "\\u200d" * 8
    assert stream.flush() == "\\u200d"


@pytest.mark.parametrize(
    ("there", "given_name", "said"),
    [
        ("1.01.11\u202fAM", "1.01.11 AM", "U+202F NARROW NO-BREAK SPACE instead of U+0020 SPACE"),
        ("x\u00a0= 1", "x = 1", "U+00A0 NO-BREAK SPACE instead of U+0020 SPACE"),
        (
            "cafe\u0301",
            "caf\u00e9",
            "U+0065 LATIN SMALL LETTER E with U+0301 COMBINING ACUTE ACCENT instead of "
            "U+00E9 LATIN SMALL LETTER E WITH ACUTE",
        ),
        ("a\u200b", "a", "U+200B ZERO WIDTH SPACE instead of nothing"),
        ("a", "a\u3164", "nothing instead of U+3164 HANGUL FILLER"),
    ],
)
def test_texts_that_look_the_same_become_distinguishable(there: str, given_name: str, said: str) -> None:
    assert fold_invisible(there) == fold_invisible(given_name)
    assert describe_difference(there, given_name) == said


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("a", "\u0430"), ("fi", "\ufb01"), ("a b", "ab"), ("e", "é")])
def test_texts_that_look_different_stay_different(one: str, other: str) -> None:
    assert fold_invisible(one) != fold_invisible(other)
