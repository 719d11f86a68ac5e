"""Secrets taken out of whole and of streamed text."""

import random
import time

import pytest

from vmpilot.tools.masking import MaskedStream, Masker


@pytest.mark.parametrize(
    ("values", "text", "masked"),
    [
        ([], "as it is", "as it is"),
        (["hunter2"], "pw=hunter2, hunter2!", "pw=[masked], [masked]!"),
        (["abcdef", "abcdefgh"], "abcdefgh abcdef abcdefg", "[masked] [masked] [masked]g"),
        (["a.c+e*"], "a.c+e* abcce", "[masked] abcce"),
        (["masked"], "masked [masked]", "[masked] [[masked]]"),
        (["", "x\ny"], "x\ny", "[masked]"),
        (["abcdef", "defxyz"], "abcdefxyz", "[masked]xyz"),
    ],
)
def test_masks_whole_text(values: list[str], text: str, masked: str) -> None:
    assert Masker(values).mask(text) == masked


@pytest.mark.parametrize("seed", range(20))
def test_masks_the_same_in_pieces(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        _check_pieces(chance)


def _check_pieces(chance: random.Random) -> None:
    values = ["".join(chance.choices("ab", k=chance.randint(1, 6))) for _ in range(chance.randint(1, 4))]
    text = "".join(chance.choices("abc", k=40))
    masker = Masker(values)
    stream = MaskedStream(masker)
    fed = ""
    position = 0
    while position < len(text):
        size = chance.randint(1, 6)
        fed += stream.feed(text[position : position + size])
        position += size
    assert fed + stream.flush() == masker.mask(text)


def test_holds_back_only_what_may_be_a_secret() -> None:
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


def test_is_quick_on_much_text() -> None:
    text = "an ordinary line of output\n" * 200_000
    masker = Masker(f"token-{number:05}-abcdefghijkl" for number in range(30))
    start = time.perf_counter()
    assert masker.mask(text) == text
    stream = MaskedStream(masker)
    assert sum(len(stream.feed(text[at : at + 1000])) for at in range(0, len(text), 1000)) == len(text)
    assert time.perf_counter() - start < 3
