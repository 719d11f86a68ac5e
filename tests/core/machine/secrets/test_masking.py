"""Secrets are masked in whole and in streamed text."""

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract.secret_values import is_worth_masking
from vmpilot.machine.secrets.masking import MaskedStream, Masker

A, B = "abcdef", "defxyz"


@pytest.mark.parametrize(
    ("values", "text", "masked"),
    [
        ([], "as it is", "as it is"),
        (["hunter2"], "pw=hunter2, hunter2!", "pw=[masked], [masked]!"),
        (["hunter2"], "hunter2hunter2", "[masked]"),
        ([A, "abcdefgh"], "abcdefgh abcdef abcdefg", "[masked] [masked] [masked]g"),
        (["a.c+e*"], "a.c+e* abcce", "[masked] abcce"),
        (["x\ny", "x\ny-long"], "x\ny x\ny-long", "x\ny [masked]"),
        ([A, B], "abcdefxyz", "[masked]"),
        ([A, B, "xyz-1234"], "abcdefxyz-1234!", "[masked]!"),
        (["one-two-three", "two-th"], "one-two-three two-th", "[masked] [masked]"),
        (["ababab"], "xababababx", "x[masked]x"),
        ([A, "[masked]", "masked", "asked]"], "[masked] masked abcdef", "[masked] masked [masked]"),
    ],
)
def test_masks_whole_text(values: list[str], text: str, masked: str) -> None:
    assert Masker(values).mask(text) == masked
    assert Masker(values).mask(masked) == masked


WORTHLESS = [
    *("", "k", "none", "None", "null", "test", "dummy", "12345", "xxxxx", "EMPTY", "ollama", "changeme", "CHANGE_ME"),
    *(
        "lm-studio",
        "not-needed",
        "no-key-required",
        "sk-xxx",
        "sk-XXXXXXXXXXXXXXXXXXXX",
        "sk-none",
        "sk-test",
        "sk-1234",
    ),
    *("sk-no-key-required", "your-api-key", "your_api_key_here", "<your api key>", "${API_KEY}", "password", "secret"),
    *("placeholder", "undefined", "************", "......", "000000", "123456", "test-123", "postgres", "minioadmin"),
    *("      ", "masked", "[masked]", "openai", "example"),
]


@pytest.mark.parametrize("value", WORTHLESS)
def test_placeholders_and_short_values_are_never_masked(value: str) -> None:
    text = f'none of it; test {value} k, "{value}" and more'
    masker = Masker([value, "hunter2-hunter2"])
    assert masker.mask(text) == text
    assert masker.mask("hunter2-hunter2") == "[masked]"
    stream = MaskedStream(masker)
    assert "".join(map(stream.feed, text)) + stream.flush() == text


@pytest.mark.parametrize(
    "value",
    [
        *("hunter", "hunter2", "opensesame", "correct horse battery staple", "sk-abc123", "test-5f3a", "4711-0815-x"),
        *("20261130", "pässwörd", "admin1!x", "Pa$$w0rd", "no-1-knows", "sk-or-v1-0"),
    ],
)
def test_other_values_are_masked(value: str) -> None:
    assert Masker([value]).mask(f"<{value}>") == "<[masked]>"


VALUES = st.lists(st.text("ab-", min_size=6, max_size=9).filter(is_worth_masking), max_size=4)


@given(VALUES, st.text("abc-", max_size=60), st.randoms(use_true_random=False))
def test_streamed_text_is_masked_the_same(values: list[str], text: str, chance: random.Random) -> None:
    masker = Masker(values)
    stream = MaskedStream(masker)
    fed = ""
    position = 0
    while position < len(text):
        size = chance.randint(1, 6)
        fed += stream.feed(text[position : position + size])
        position += size
    assert fed + stream.flush() == masker.mask(text)


@given(VALUES, st.data())
def test_no_part_of_a_value_is_left_and_no_mark_is_masked_again(values: list[str], data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.one_of(st.text("abc-", max_size=8), st.sampled_from(["[masked]", *values]))))
    text = "".join(pieces)
    masked = Masker(values).mask(text)
    covered = {
        at
        for value in values
        for start in range(len(text))
        if text.startswith(value, start)
        for at in range(start, start + len(value))
    }
    kept = "".join(char if at not in covered else "\0" for at, char in enumerate(text))
    assert masked == re.sub("\0+", "[masked]", kept)
    assert Masker(values).mask(masked) == masked


def test_only_possible_secrets_are_held_back() -> None:
    stream = MaskedStream(Masker(["secret-value"]))
    assert stream.feed("hello sec") == "hello "
    assert stream.feed("ond se") == "second "
    assert stream.feed("cret-valu") == ""
    assert stream.feed("e!") == "[masked]!"
    assert stream.feed("secret") == ""
    assert stream.flush() == "secret"
    assert stream.flush() == ""


def test_values_do_not_show() -> None:
    masker = Masker(["hunter2"])
    assert "hunter2" not in repr(masker)
    assert "hunter2" not in repr(MaskedStream(masker))


def test_an_unfinished_line_shows_no_beginning_of_a_value() -> None:
    masker = Masker(["opensesame"])
    assert masker.mask_unfinished("Password [opensesame]: ") == "Password [[masked]]: "
    assert masker.mask_unfinished("is it opense") == "is it "
    assert masker.mask_unfinished(f"token ghp_{'a1B2' * 9}") == "token [masked]"


def test_is_quick_on_much_text() -> None:
    text = "an ordinary line of output\n" * 200_000
    masker = Masker(f"token-{number:05}-abcdefghijkl" for number in range(30))
    start = time.process_time()
    assert masker.mask(text) == text
    stream = MaskedStream(masker)
    assert sum(len(stream.feed(text[at : at + 1000])) for at in range(0, len(text), 1000)) == len(text)
    assert time.process_time() - start < 3
