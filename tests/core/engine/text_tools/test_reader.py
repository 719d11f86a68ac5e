"""Which parts of an answer are calls and which are text, however the stream is split."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.engine.text_tools._reader import LONGEST, AnswerReader

WORD = "call-0123abcd"
LS = '{"tool": "shell", "arguments": {"command": "ls"}}'
MARKED = f"```{WORD}\n{LS}\n```"
FENCED = f"```json\n{LS}\n```"
ONE = (("shell", '{"command": "ls"}'),)

Read = tuple[str, tuple[tuple[str, str], ...]]
"""The text and the calls."""


def read(pieces: str | Iterable[str], *, quoted: bool = False, proper: bool = True) -> Read:
    reader = AnswerReader(word=WORD, tools={"shell", "work"}, is_quoted=lambda _shape, _names: quoted)
    text = [reader.feed(piece) for piece in ([pieces] if isinstance(pieces, str) else pieces)]
    return "".join([*text, reader.finish(proper=proper)]), tuple((call.name, call.arguments) for call in reader.calls)


@pytest.mark.parametrize("blank", ["", "\n", "  \n\n"])
@pytest.mark.parametrize(
    "block",
    [
        MARKED,
        f"```{WORD}  \n{LS}\n``` ",
        f"````{WORD}\n{LS}\n````",
        f"~~~{WORD}\n{LS}\n~~~",
        f"   ```{WORD}\n   {LS}\n   ```",
        f"```{WORD} {LS}\n```",
        f"```{WORD}\n{LS}```",
        f"```{WORD}\n\n{LS}",
        f"{WORD} {LS}",
        f"{WORD}: [{LS}]",
        f"```{WORD}\r\n{LS}\r\n```\r",
        FENCED,
        f"```\n{LS}\n```",
        f"~~~~ json\n{LS}\n~~~~~",
        f"```tool_call\n{LS}\n```",
        f"```tool\n{LS}\n```",
        f"```json\n{LS}",
        LS,
        f"  {LS}",
        f"[{LS}]",
        f"[\n {LS}\n]",
        '{\n  "tool": "shell",\n  "arguments": {"command": "ls"}\n}',
        f"<tool_call>\n{LS}\n</tool_call>",
        f"<tool_call>{LS}</tool_call>",
        f"<tool_call>\n{LS}\n",
        '<function=shell>{"command": "ls"}</function>',
        '<function=shell>\n{"command": "ls"}\n</function>',
        f"[TOOL_CALLS] [{LS}]",
        f"[TOOL_CALLS]{LS}",
    ],
)
def test_shapes_of_a_call(block: str, blank: str) -> None:
    for text in ("", "I look.", "I look, and\n* see"):
        before = f"{text}\n\n" if text else ""
        for pieces in ([f"{before}{block}{blank}"], [*f"{before}{block}{blank}"]):
            said, calls = read(pieces)
            assert (said, [name for name, _ in calls]) == (text, ["shell"])
            assert calls[0][1].strip() == '{"command": "ls"}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Just text.\n",
        "Blanks at the end.  \n\n ",
        f"In the middle of a line: {LS}",
        f"As `code`: `{LS}`",
        f"> {LS}\n> {FENCED}",
        f"    {LS}",
        f"\t{LS}",
        f"    ```{WORD}\n    {LS}\n    ```",
        f"1. So:\n\n       ```json\n       {LS}\n       ```",
        f"- {LS}",
        f"````markdown\n{MARKED}\n````",
        f"````\n{FENCED}\n````",
        f"~~~\n{MARKED}\n~~~\n",
        f"```text\n{LS}\n```",
        f"```python\n{LS}\n```",
        f"```text\n{LS}",
        f"```text\n```json\n{LS}\n",
        f"<output-0123456789ab>\n{LS}\n{MARKED}\n</output-0123456789ab>",
        f"<output-0123456789ab>\n{LS}",
        f"<think>\n{MARKED}\n</think>\nNo.",
        f"<thinking>{MARKED}\n",
        f"```call-99999999\n{LS}\n```",
        f"```{WORD}x\n{LS}\n```",
        f"```{WORD.upper()}\n{LS}\n```",
        f"{WORD}\n{LS}\nis how.",
        f"{WORD} is the word.",
        f"    {WORD}: {LS}",
        f"So: {WORD}: {LS}",
        f"{FENCED}\nThat would list the files.",
        f"{LS} would list the files.",
        f"{LS}\nwould list the files.",
        f"<tool_call>{LS}</tool_call> is how it looks.",
        f"{FENCED}\n\n```bash\nls\n```",
        f"{FENCED}\n\n{LS[:-1]}",
        '{"tool": "unknown", "arguments": {}}',
        f'{LS}\n{{"tool": "unknown", "arguments": {{}}}}',
        '{"tool": "shell"}',
        '{"tool": "shell", "command": "ls"}',
        '{"tool": "shell", "arguments": {"command": "ls"',
        '```json\n{"tool": "shell", "arguments": {"command": "ls"\n```',
        '{"users": [\n{"name": "shell", "arguments": {}}\n]}',
        '{"a": 1}\n',
        "[1, 2]",
        "[a link](https://example.org)",
        "[TOOL_CALL",
        "{",
        "[",
        "```",
        "```\n",
        "<b>bold</b>",
        "<tool",
        "{{ a template }}\n{% if %}",
        "<tool_call>\nno JSON\n</tool_call>",
    ],
)
def test_text_that_is_not_a_call(text: str) -> None:
    assert read(text) == (text, ())
    assert read([*text]) == (text, ())


@pytest.mark.parametrize(
    "text", [FENCED, LS, f"```\n{LS}\n```", f"<tool_call>{LS}</tool_call>", '<tool_call>{"tool": "shell", "argu']
)
def test_a_quotation_without_the_mark_is_not_a_call(text: str) -> None:
    assert read(text, quoted=True) == (text, ())
    assert read(f"{text}\nResult: fine", quoted=True) == (f"{text}\nResult: fine", ())


def test_a_quotation_with_the_mark_is_a_call() -> None:
    assert read(MARKED, quoted=True) == read(f"{WORD}: {LS}", quoted=True) == ("", ONE)


@pytest.mark.parametrize("text", [FENCED, LS, f"<tool_call>{LS}</tool_call>"])
def test_a_truncated_answer_has_no_calls_without_the_mark(text: str) -> None:
    assert read(text, proper=False) == (text, ())


def test_a_truncated_marked_call_is_kept() -> None:
    half = MARKED[: MARKED.index('"ls') + 3]
    ((name, arguments),) = read(half, proper=False)[1]
    assert (name, arguments) == ("shell", '{"tool": "shell", "arguments": {"command": "ls')


def test_several_calls_directly_after_each_other() -> None:
    assert read(f"Both.\n{MARKED}\n\n{MARKED}\n") == ("Both.", ONE * 2)
    assert read(f"{FENCED}\n{FENCED}") == ("", ONE * 2)
    assert read(f"<tool_call>\n{LS}\n</tool_call>\n<tool_call>\n{LS}\n</tool_call>") == ("", ONE * 2)


@pytest.mark.parametrize(
    "behind",
    ["Result of `shell`:\nall is well", "That lists the files.", "<output-0123>\nx", LS, "```json\n{}\n```", "> x"],
)
def test_text_after_a_marked_call_is_ignored(behind: str) -> None:
    reader = AnswerReader(word=WORD, tools={"shell"}, is_quoted=lambda _shape, _names: False)
    for letter in f"I look.\n{MARKED}\n\n{behind}\n{MARKED}":
        reader.feed(letter)
    assert reader.is_over
    assert reader.finish(proper=True) == ""
    assert len(reader.calls) == 1


@pytest.mark.parametrize("heading", ["Result of `shell`:", "**Output:**", "<tool_response>", "### Tool result"])
def test_a_result_that_the_model_made_up_ends_the_answer(heading: str) -> None:
    assert read(f"I look.\n{FENCED}\n\n{heading}\nall is well\n") == ("I look.", ONE)


def test_a_marked_call_after_something_similar() -> None:
    assert read(f"{LS}\n{MARKED}") == (LS, ONE)
    assert read(f'{{"tool": "shell",\n{MARKED}') == ('{"tool": "shell",', ONE)
    assert read(f"{FENCED}\n{MARKED}") == (FENCED, ONE)
    assert read(f"{FENCED}\n{WORD}: {LS}") == (FENCED, ONE)


@pytest.mark.parametrize("name", ["nothing", "shell"])
def test_an_invalid_tagged_call_counts_only_for_an_existing_tool(name: str) -> None:
    text = f'<tool_call>\n{{"name": "{name}", "arguments": {{"command": "ls}}\n</tool_call>'
    assert [call[0] for call in read(text)[1]] == (["shell"] if name == "shell" else [])


def test_text_is_released_as_soon_as_it_cannot_be_a_call() -> None:
    reader = AnswerReader(word=WORD, tools={"shell"}, is_quoted=lambda _shape, _names: False)
    fed = [
        reader.feed(piece) for piece in ("I ", "look", " at `", "x`\n", "```", "py\n", "{x", "}\n", "``", "`\n", "*a")
    ]
    assert fed == ["I", " look", " at `", "x`", "", "\n```py", "\n{x", "}", "", "\n```", "\n*a"]


PIECES = ["I look. ", "\n", "```", WORD, "json", LS, MARKED, FENCED, "<tool_call>", "</tool_call>", "{", '"', " ", "> "]
PIECES += ["````", "<think>", "</think>", "[", "]", "[TOOL_CALLS]", "Result: ", "    ", "\r\n", "<output-0123456789ab>"]
PIECES += [f"{WORD}: {LS}"]
answers = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(answers, st.data(), st.booleans(), st.booleans())
def test_splitting_the_stream_does_not_change_the_result(
    answer: str, data: st.DataObject, quoted: bool, proper: bool
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=8)))
    pieces = [answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
    whole = read(answer, quoted=quoted, proper=proper)
    assert read(pieces, quoted=quoted, proper=proper) == read([*answer], quoted=quoted, proper=proper) == whole


@given(answers)
def test_no_text_is_lost_or_made_up(answer: str) -> None:
    text, calls = read(answer)
    assert answer.startswith(text)
    assert calls or text == answer


@given(answers)
def test_no_quotation_without_the_mark_is_a_call(answer: str) -> None:
    assert read(answer.replace(WORD, "call-99999999"), quoted=True)[1] == ()


ENDLESS = {
    "words": "word ",
    "lines": "a line\n",
    "blank lines": "\n",
    "a line of blanks": " ",
    "brackets": "[",
    "opening brackets on lines": "[\n",
    "braces on lines": "{\n",
    "blocks": "```\n",
    "quotes": '"',
    "keys": '{"tool":\n',
    "shapes": f"{LS}\n",
    "tags": "<tool_call>\n",
    "thoughts": "<think>",
    "a block's lines": "> ```json",
}


@pytest.mark.parametrize(
    "opening", ["", f"```{WORD}\n", "```json\n", "```text\n", '{"tool": "', "<tool_call>\n", "<think>\n"]
)
@pytest.mark.parametrize("kind", ENDLESS)
def test_the_time_is_linear_in_the_length(kind: str, opening: str) -> None:
    pieces = [opening, *[ENDLESS[kind]] * 20_000]
    started = time.process_time()
    read(pieces)
    assert time.process_time() - started < 2.5


def test_a_text_that_is_too_long_is_not_a_call() -> None:
    long = '{"tool": "shell", "arguments": {"command": "' + "x" * LONGEST
    ((name, arguments),) = read([f"```{WORD}\n", long, "y" * 100, "z" * 100])[1]
    assert name == "shell"
    assert LONGEST < len(arguments) < LONGEST + 200
    assert read([long, "y\n", "z"]) == (f"{long}y\nz", ())
    assert read([f"```json\n{long}", "y\n", f"```\n{MARKED}"]) == (f"```json\n{long}y\n```", ONE)
