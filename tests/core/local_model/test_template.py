"""The chat template as text: llama.cpp derives the call format from it, and a small model follows its last words."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

import pytest

jinja2 = pytest.importorskip(
    "jinja2", reason="only llama.cpp renders templates; a backend's libraries bring Jinja here"
)

TOOLS = [{"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}}]
QUESTION: dict[str, object] = {"role": "user", "content": "what is here?"}
RESULT: dict[str, object] = {"role": "tool", "content": "notes.txt"}
ENOUGH = "This is enough"


def call(*commands: str) -> dict[str, object]:
    calls = [{"function": {"name": "shell", "arguments": {"command": command}}} for command in commands]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def render(*messages: Mapping[str, object], tools: Sequence[Mapping[str, object]] | None = None) -> str:
    text = files("vmpilot.local_model").joinpath("qwen_coder.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment()
    environment.filters["tojson"] = json.dumps  # as in llama.cpp: no escapes for HTML
    return str(environment.from_string(text).render(messages=messages, tools=tools, add_generation_prompt=True))


def test_plain_chat_does_not_mention_functions() -> None:
    assert render({"role": "system", "content": "Be short."}, QUESTION) == (
        "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nwhat is here?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_call_and_its_result() -> None:
    prompt = render(QUESTION, call("ls"), RESULT, tools=TOOLS)
    block = '```json\n{"name": "shell", "arguments": {"command": "ls"}}\n```<|im_end|>\n'
    assert block + "<|im_start|>user\nResult of the function:\nnotes.txt\n\nIf this is what" in prompt
    assert ENOUGH not in prompt


def test_only_the_first_of_several_calls_is_shown_and_all_results_are() -> None:
    prompt = render(QUESTION, call("ls", "pwd"), RESULT, {"role": "tool", "content": ""}, tools=TOOLS)
    assert '"ls"' in prompt
    assert '"pwd"' not in prompt
    assert "notes.txt\nResult of the function:\n(nothing)" in prompt


@pytest.mark.parametrize("commands", [["ls", "ls"], ["a", "b", "c", "d"]], ids=["the same again", "four in a row"])
def test_a_model_that_repeats_itself_is_told_to_finish(commands: list[str]) -> None:
    turns = [message for command in commands for message in (call(command), RESULT)]
    assert render(QUESTION, *turns, tools=TOOLS).count(ENOUGH) == 1


def test_the_same_call_for_a_new_request_is_not_a_repetition() -> None:
    answer = {"role": "assistant", "content": "notes.txt"}
    assert ENOUGH not in render(QUESTION, call("ls"), RESULT, answer, QUESTION, call("ls"), RESULT, tools=TOOLS)
