"""Plain text and capped text, whole and streamed."""

import random
import time

import pytest

from vmpilot.machine.processes.output import CappedText, OutputBuffer, PlainText, plain_text


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("", ""),
        ("one\ntwo", "one\ntwo"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("10%\r50%\r100%\n", "100%\n"),
        ("10%\r100%\r\ndone", "100%\ndone"),
        ("10%\r100%\r", "100%"),
        ("a\r\r\nb", "a\nb"),
        ("working\r\x1b[Kdone\n", "done\n"),
        ("first\nold\rnew\nlast", "first\nnew\nlast"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(B\x1b[?25l\x1b=\x1b7x", "x"),
        ("\x9b31mred", "red"),
        ("\x1b[31", ""),
        ("a\x1b[\x1b[1mb", "ab"),
        ("\x1b]never closed\nnext\x1b[m", "never closed\nnext"),
        ("N\bNA\bA", "NA"),
        ("|\b/\b-\b done", " done"),
        ("\x07\x00\x7f\x85tab\tkept\x0c", "tab\tkept"),
        ("é✓🙂\r\n", "é✓🙂\n"),
    ],
)
def test_plain_text(raw: str, plain: str) -> None:
    assert plain_text(raw) == plain


@pytest.mark.parametrize("seed", range(20))
def test_plain_text_is_the_same_when_streamed(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(20):
        _check_plain_pieces(chance)


def _check_plain_pieces(chance: random.Random) -> None:
    parts = [
        "a",
        "bc",
        "\r",
        "\n",
        "\r\n",
        "\x1b",
        "[",
        "31m",
        "\x1b[0m",
        "\x1b]0;t",
        "\x07",
        "\x1b\\",
        "\x9b",
        " ",
        "é",
    ]
    raw = "".join(chance.choices(parts, k=40))
    plain = PlainText()
    fed = ""
    position = 0
    while position < len(raw):
        size = chance.randint(1, 5)
        fed += plain.feed(raw[position : position + size])
        position += size
    assert fed + plain.flush() == plain_text(raw)


@pytest.mark.parametrize(
    "unit", ["x", "x\r", "\r", "\x1b[", "\x1b]", "\x1b[1", "x\b", "\r\n", "\x1b]8;;\x1b\\", "\x1b[31mx", "\x1b]a\x1b"]
)
def test_plain_text_takes_linear_time(unit: str) -> None:
    start = time.process_time()
    plain_text(unit * (1_000_000 // len(unit)))
    plain = PlainText()
    for _ in range(5_000):
        plain.feed(unit)
    plain.flush()
    assert time.process_time() - start < 2


def test_a_long_line_is_passed_on_before_it_ends() -> None:
    plain = PlainText()
    passed = sum(len(plain.feed("x" * 1000)) for _ in range(1000))
    assert passed > 980_000
    assert passed + len(plain.flush()) == 1_000_000


def test_an_escape_that_never_ends_is_passed_on_as_text() -> None:
    plain = PlainText()
    passed = "".join(plain.feed("\x1b]" if not number else "x" * 1000) for number in range(100))
    assert len(passed + plain.flush()) > 90_000


def test_short_output_is_kept_whole() -> None:
    buffer = OutputBuffer(head=5, tail=5)
    for piece in ("abc", "defg", "hij"):
        buffer.append(piece)
    assert buffer.capped() == CappedText("abcdefghij", total_chars=10)


def test_the_middle_is_cut_and_counted() -> None:
    buffer = OutputBuffer(head=6, tail=6)
    for number in range(1000):
        buffer.append(f"{number:04}\n")
    assert buffer.capped() == CappedText(
        "0000\n0\n[… 4,988 characters (997 lines) cut …]\n0999\n", total_chars=5000, cut_chars=4988, cut_lines=997
    )


@pytest.mark.parametrize(
    ("text", "capped"),
    [
        ("aaa\nx\nbbb", "aaa\n[… 2 characters (1 line) cut …]\nbbb"),
        ("aaaaxxbbb", "aaaa\n[… 2 characters cut …]\nbbb"),
        ("aaaaxbbb", "aaaa\n[… 1 character cut …]\nbbb"),
    ],
)
def test_the_note_of_a_cut_is_on_its_own_line(text: str, capped: str) -> None:
    buffer = OutputBuffer(head=4, tail=3)
    buffer.append(text)
    assert buffer.capped().text == capped


@pytest.mark.parametrize("seed", range(10))
def test_the_cut_is_the_same_when_streamed(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(20):
        _check_cut_pieces(chance)


def _check_cut_pieces(chance: random.Random) -> None:
    text = "".join(chance.choices("ab\n", k=chance.randint(0, 200)))
    head, tail = chance.randint(0, 40), chance.randint(0, 40)
    whole, pieces = OutputBuffer(head=head, tail=tail), OutputBuffer(head=head, tail=tail)
    whole.append(text)
    position = 0
    while position < len(text):
        size = chance.randint(1, 30)
        pieces.append(text[position : position + size])
        position += size
    capped = pieces.capped()
    assert capped == whole.capped()
    assert capped.total_chars == len(text)
    assert capped.cut_chars == max(0, len(text) - head - tail)
    assert capped.text.startswith(text[:head])
    assert capped.text.endswith(text[len(text) - tail :])
