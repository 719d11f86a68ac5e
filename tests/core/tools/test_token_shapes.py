"""Tokens and keys are known by their shape, in whole and in streamed text. The ones here are made up."""

from __future__ import annotations

import random
import time

import pytest

from vmpilot.tools.masking import MaskedStream, Masker
from vmpilot.tools.token_shapes import ShapeStream, mask_shapes

BODY = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2"
KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\nAAAAB3NzaC1yc2E+/x\n"
    "-----END OPENSSH PRIVATE KEY-----"
)
TOKENS = {
    "openai": f"sk-proj-{BODY}",
    "github": f"ghp_{BODY}",
    "github fine-grained": f"github_pat_{BODY}_{BODY}",
    "gitlab": f"glpat-{BODY[:20]}",
    "amazon": "AKIA" + BODY[:16].upper(),
    "google": "AIza" + BODY[:35],
    "slack": f"xoxb-1234567890-{BODY}",
    "stripe": f"sk_live_{BODY}",
    "hugging face": f"hf_{BODY}",
    "pypi": f"pypi-{BODY}{BODY}",
    "json web token": f"eyJ{BODY}.eyJ{BODY}.{BODY}",
    "private key": KEY,
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_a_token_is_masked_wherever_it_stands(token: str) -> None:
    assert mask_shapes(token) == "[masked]"
    assert mask_shapes(f"key={token}") == "key=[masked]"
    assert mask_shapes(f'"{token}", x\n{token}\n') == '"[masked]", x\n[masked]\n'


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn is a library; disk-a1B2c3D4e5F6g7H8i9J0k1L2m3N4",
        "a commit 9f2c1e7d4b8a6c3e5f0d1b2a4c6e8f0a1b3c5d7e",
        "AKIA is the beginning of a key",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
        "eyJhbGciOi is no whole token",
        'if line == "-----BEGIN CERTIFICATE-----":',
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert mask_shapes(text) == text


def test_a_key_whose_end_was_cut_is_masked_to_where_it_stops() -> None:
    assert mask_shapes(KEY[:80]) == "[masked]"
    assert mask_shapes(KEY[:80] + " [… 12 lines] more") == "[masked][… 12 lines] more"


@pytest.mark.parametrize("seed", range(20))
def test_pieces_give_what_the_whole_gives(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(20):
        words = chance.choices([*TOKENS.values(), "sk", "-", "--", "x", "_", " ", "\n", "eyJ", "AKIA", "gh"], k=12)
        text = "".join(words)
        stream, fed, position = ShapeStream(), "", 0
        while position < len(text):
            size = chance.choice([1, 2, 5, 30, 200])
            fed += stream.feed(text[position : position + size])
            position += size
        assert fed + stream.flush() == mask_shapes(text)


def test_only_what_may_be_a_token_is_held_back() -> None:
    stream = MaskedStream(Masker([]))
    assert stream.feed("an ordinary line\n") == "an ordinary line\n"
    assert stream.feed("it is a ta") == "it is a ta"
    assert stream.feed("sk sk") == "sk "
    assert stream.feed("-") == ""
    assert stream.feed("etch\n") == "sk-etch\n"


def test_it_is_quick_on_much_text() -> None:
    text = "an ordinary line-of-output with sk-words and eyJ in it\n" * 40_000
    start = time.perf_counter()
    assert mask_shapes(text) == text
    stream = ShapeStream()
    assert sum(len(stream.feed(text[at : at + 1000])) for at in range(0, len(text), 1000)) == len(text)
    assert time.perf_counter() - start < 3
