"""The strict check: one row for each fault, and valid requests."""

from __future__ import annotations

import copy
import time
from typing import Any

import pytest

from vmpilot.testing import history_faults

SYSTEM: dict[str, Any] = {"role": "system", "content": "You help."}
USER: dict[str, Any] = {"role": "user", "content": "hi"}
SAID: dict[str, Any] = {"role": "assistant", "content": "hello"}
PNG = "data:image/png;base64,iVBORw0KGgo="


def call(call_id: Any = "c1", name: Any = "shell", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: Any, content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def answer(call_id: Any = "c1", content: Any = "done") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def parts(*given: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(given)}]


def text(value: Any) -> dict[str, Any]:
    return {"type": "text", "text": value}


def image(url: Any, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def tool(name: Any = "shell", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [SYSTEM, USER],
        [{"role": "developer", "content": "x"}, USER],
        [SYSTEM, USER, SAID, USER],
        [USER, calling(call()), answer()],
        [USER, calling(call(), call("c2"), content="both"), answer("c2"), answer("c1", "")],
        [USER, calling(call()), answer(), SAID, USER, calling(call("c2")), answer("c2")],
        [USER, calling(call()), answer(), calling(call("c2"), content=""), answer("c2")],
        [USER, calling(call(arguments='{"a": {"b": [1, null, "ü"]}}')), answer(content=[text("part")])],
        [{**SYSTEM, "content": [text("x")]}, USER, {**SAID, "content": [text("x")]}, USER],
        parts(text("look"), image(PNG), image("https://example.org/a.png", detail="low")),
    ],
)
def test_valid_histories(messages: list[Any]) -> None:
    assert history_faults({"model": "m", "messages": messages}) == ()


@pytest.mark.parametrize(
    "members",
    [
        {"temperature": 0, "top_p": 1, "max_tokens": 1, "n": 1, "presence_penalty": -2, "frequency_penalty": 2.0},
        {"temperature": None, "max_completion_tokens": 5, "tools": None, "stream": None, "stream_options": None},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"tools": [tool(), tool("read-File_2")], "tool_choice": "required", "parallel_tool_calls": True},
        {"tools": [tool(description="d", parameters={"type": "object"})], "tool_choice": tool()},
        {"tools": [tool(parameters={"type": "object", "properties": {"a": {}, "b": True}, "required": ["a"]})]},
        {"metadata": nested(5_000)},
    ],
)
def test_valid_settings(members: dict[str, Any]) -> None:
    assert history_faults({"model": "m", "messages": [USER], **members}) == ()


NO_JSON_OBJECT = "messages[1].tool_calls[0].function.arguments: is JSON, but not an object"
NO_JSON = "messages[1].tool_calls[0].function.arguments: is not JSON"
BAD_PART = "messages[0].content[0]: must be a well-formed part of type text or image_url"
BAD_NAME = "messages[1].tool_calls[0].function.name: must match ^[a-zA-Z0-9_-]{1,64}$"
BAD_CALL = "messages[1].tool_calls[0]: must have type 'function' and a function object"
BAD_URL = "messages[0].content[0].image_url.url: must be an http(s) URL or a base64 data URL of an image"
EMPTY = "messages[1]: has neither content nor tool_calls"
UNSENDABLE = "contains a lone surrogate or NUL"


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        # roles and their order
        ([{"role": "robot", "content": "x"}], "messages[0].role: unknown role 'robot'"),
        ([{"role": "function", "name": "f", "content": "x"}], "messages[0].role: unknown role 'function'"),
        ([{"content": "x"}], "messages[0].role: unknown role None"),
        ([["x"], USER], "messages[0]: must be an object"),
        ([USER, SAID, SYSTEM, USER], "messages[2]: a system message must be the only one, and first"),
        ([SYSTEM, SYSTEM, USER], "messages[1]: a system message must be the only one, and first"),
        ([SYSTEM], "messages: nothing for the model to answer"),
        ([SAID, USER], "messages[0]: the first message after the system's must be the user's, not the assistant's"),
        ([USER, USER], "messages[1]: user must not follow user"),
        ([USER, SAID, SAID, USER], "messages[2]: assistant must not follow assistant"),
        ([USER, calling(call()), answer(), USER], "messages[3]: user must not follow tool"),
        ([USER, SAID], "messages[1]: the last message must be the user's or a tool's, not the assistant's"),
        # calls and their answers
        (
            [USER, calling(call()), answer(), calling(call()), answer()],
            "messages[3].tool_calls[0].id: 'c1' is used twice in this request",
        ),
        (
            [USER, calling(call(), call()), answer()],
            "messages[1].tool_calls[1].id: 'c1' is used twice in this request",
        ),
        (
            [USER, calling(call(), call("c2")), answer()],
            "messages[1].tool_calls[1]: 'c2' has no tool message right after the assistant's",
        ),
        (
            [USER, calling(call()), USER],
            "messages[1].tool_calls[0]: 'c1' has no tool message right after the assistant's",
        ),
        (
            [USER, calling(call()), answer(), answer()],
            "messages[3]: answers 'c1' a second time, or not right after the call",
        ),
        ([USER, answer()], "messages[1]: answers 'c1', which no message before it calls"),
        ([USER, SAID, answer("c9")], "messages[2]: answers 'c9', which no message before it calls"),
        ([USER, calling(call()), answer(), answer("")], "messages[3].tool_call_id: must be a non-empty string"),
        ([USER, calling(call("")), SAID, USER], "messages[1].tool_calls[0].id: must be a non-empty string"),
        ([USER, calling(call(None))], "messages[1].tool_calls[0].id: must be a non-empty string"),
        ([USER, calling()], "messages[1].tool_calls: must be a list with at least one call, or left out"),
        (
            [USER, {**calling(), "tool_calls": {}}],
            "messages[1].tool_calls: must be a list with at least one call, or left out",
        ),
        ([USER, calling("c1")], BAD_CALL),
        ([USER, calling({**call(), "type": "tool"}), answer()], BAD_CALL),
        ([USER, calling({"id": "c1", "type": "function"}), answer()], BAD_CALL),
        ([USER, calling(call(name="")), answer()], BAD_NAME),
        ([USER, calling(call(name="a.b")), answer()], BAD_NAME),
        ([USER, calling(call(name="a" * 65)), answer()], BAD_NAME),
        ([USER, calling(call(name="a\n")), answer()], BAD_NAME),
        ([USER, calling(call(name=None)), answer()], BAD_NAME),
        (
            [USER, calling(call(arguments={})), answer()],
            "messages[1].tool_calls[0].function.arguments: must be a string",
        ),
        (
            [USER, calling(call(arguments=None)), answer()],
            "messages[1].tool_calls[0].function.arguments: must be a string",
        ),
        ([USER, calling(call(arguments="")), answer()], NO_JSON),
        ([USER, calling(call(arguments='{"a": "b')), answer()], NO_JSON),
        ([USER, calling(call(arguments='{"a": NaN}')), answer()], NO_JSON),
        ([USER, calling(call(arguments="[" * 100_000)), answer()], NO_JSON),
        ([USER, calling(call(arguments="[]")), answer()], NO_JSON_OBJECT),
        ([USER, calling(call(arguments="null")), answer()], NO_JSON_OBJECT),
        # contents
        ([{"role": "user", "content": None}], "messages[0].content: must be a string or a list of parts"),
        ([{"role": "user"}], "messages[0].content: must be a string or a list of parts"),
        ([{"role": "user", "content": {"type": "text"}}], "messages[0].content: must be a string or a list of parts"),
        ([{"role": "user", "content": " \n"}], "messages[0].content: must not be empty"),
        ([{"role": "user", "content": []}], "messages[0].content: must not be empty"),
        ([{**SYSTEM, "content": ""}, USER], "messages[0].content: must not be empty"),
        ([USER, calling(call()), answer(content=None)], "messages[2].content: must be a string or a list of parts"),
        ([USER, calling(call()), answer(content=7)], "messages[2].content: must be a string or a list of parts"),
        ([USER, {"role": "assistant", "content": None}, USER], EMPTY),
        ([USER, {"role": "assistant", "content": ""}, USER], EMPTY),
        ([USER, {"role": "assistant", "content": []}, USER], EMPTY),
        ([USER, {"role": "assistant", "content": "", "tool_calls": None}, USER], EMPTY),
        ([USER, calling(call(), content=5), answer()], "messages[1].content: must be a string or a list of parts"),
        (parts("x"), BAD_PART),
        (parts({"type": "text"}), BAD_PART),
        (parts({"type": "audio", "audio": "x"}), BAD_PART),
        (parts({"type": "image_url", "image_url": PNG}), BAD_PART),
        (parts(text("")), "messages[0].content[0].text: must not be empty"),
        (parts(image("file:///etc/passwd")), BAD_URL),
        (parts(image("data:text/plain;base64,aGk=")), BAD_URL),
        (parts(image("data:image/png;base64,***")), BAD_URL),
        (parts(image(PNG, detail="huge")), "messages[0].content[0].image_url.detail: must be auto, low or high"),
        (
            [{**SYSTEM, "content": [image(PNG)]}, USER],
            "messages[0].content[0]: must be a well-formed part of type text",
        ),
        (
            [USER, calling(call()), answer(content=[image(PNG)])],
            "messages[2].content[0]: must be a well-formed part of type text",
        ),
        # strings
        ([{"role": "user", "content": "a\ud83d"}], f"messages[0].content: {UNSENDABLE}"),
        (parts(text("a\0")), f"messages[0].content[0].text: {UNSENDABLE}"),
        (
            [USER, calling(call(arguments='{"a": "\ude00"}')), answer()],
            f"messages[1].tool_calls[0].function.arguments: {UNSENDABLE}",
        ),
        ([{**USER, "a\0": 1}], "messages[0]: has a name with a lone surrogate or NUL"),
    ],
)
def test_faults_of_messages(messages: list[Any], fault: str) -> None:
    before = copy.deepcopy(messages)
    assert fault in history_faults({"model": "m", "messages": messages})
    assert messages == before


BAD_TOOL = "tools[0]: must have type 'function' and a function whose name matches ^[a-zA-Z0-9_-]{1,64}$"
BAD_TOOLS = "tools: must be a list of 1 to 128 tools, or left out"
BAD_CHOICE = "tool_choice: must be none, auto, required or a function"
BAD_SCHEMA = "tools[0].function.parameters: must be a schema of type 'object'"
PROPERTIES = "tools[0].function.parameters.properties: must be an object of schemas"


def schema(**members: Any) -> dict[str, Any]:
    return {"tools": [tool(parameters={"type": "object", **members})]}


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"messages": []}, "messages: must be a list with at least one message"),
        ({"messages": None}, "messages: must be a list with at least one message"),
        ({"messages": "hi"}, "messages: must be a list with at least one message"),
        ({"model": ""}, "model: must be a name"),
        ({"model": None}, "model: must be a name"),
        ({"temperature": 2.1}, "temperature: must be a number from 0 to 2"),
        ({"temperature": -0.1}, "temperature: must be a number from 0 to 2"),
        ({"temperature": "0"}, "temperature: must be a number from 0 to 2"),
        ({"temperature": True}, "temperature: must be a number from 0 to 2"),
        ({"top_p": 1.5}, "top_p: must be a number from 0 to 1"),
        ({"max_tokens": 0}, "max_tokens: must be an integer of at least 1"),
        ({"max_tokens": 1.5}, "max_tokens: must be an integer of at least 1"),
        ({"max_tokens": True}, "max_tokens: must be an integer of at least 1"),
        ({"max_completion_tokens": -1}, "max_completion_tokens: must be an integer of at least 1"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens: not together with max_completion_tokens"),
        ({"stream": "yes"}, "stream: must be true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options: only allowed with stream"),
        ({"stream": True, "stream_options": True}, "stream_options: must be an object"),
        ({"user": "\ud83d"}, f"user: {UNSENDABLE}"),
        ({"tools": []}, BAD_TOOLS),
        ({"tools": {}}, BAD_TOOLS),
        ({"tools": [tool(f"t{number}") for number in range(129)]}, BAD_TOOLS),
        ({"tools": ["shell"]}, BAD_TOOL),
        ({"tools": [{"name": "shell"}]}, BAD_TOOL),
        ({"tools": [{**tool(), "type": "web"}]}, BAD_TOOL),
        ({"tools": [tool("a b")]}, BAD_TOOL),
        ({"tools": [tool(""), tool()]}, BAD_TOOL),
        ({"tools": [tool(), tool()]}, "tools[1].function.name: 'shell' is used twice"),
        ({"tools": [tool(description=None)]}, "tools[0].function.description: must be a string"),
        ({"tools": [tool(parameters="{}")]}, BAD_SCHEMA),
        ({"tools": [tool(parameters={})]}, BAD_SCHEMA),
        ({"tools": [tool(parameters={"type": "string"})]}, BAD_SCHEMA),
        (schema(properties=["a"]), PROPERTIES),
        (schema(properties={"a": "string"}), PROPERTIES),
        (schema(required="a"), "tools[0].function.parameters.required: must be a list of names"),
        (schema(required=["b"]), "tools[0].function.parameters.required: 'b' is not among the properties"),
        ({"tool_choice": "auto"}, "tool_choice: only allowed with tools"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls: only allowed with tools"),
        ({"tools": [tool()], "tool_choice": "any"}, BAD_CHOICE),
        ({"tools": [tool()], "tool_choice": tool("read")}, "tool_choice: 'read' is not among the tools"),
    ],
)
def test_faults_of_settings(members: dict[str, Any], fault: str) -> None:
    assert history_faults({"model": "m", "messages": [USER], **members}) == (fault,)


def test_all_faults_are_reported_at_once() -> None:
    body = {"model": "m", "messages": [USER, calling(call(name="", arguments="[]")), USER], "temperature": 9}
    assert len(history_faults(body)) == 4


def test_a_long_history_is_checked_quickly() -> None:
    turns = [[USER, calling(call(f"c{number}")), answer(f"c{number}", "x" * 1_000), SAID] for number in range(500)]
    messages = [message for turn in turns for message in turn]
    before = time.process_time()
    assert history_faults({"model": "m", "messages": [*messages, USER]}) == ()
    assert time.process_time() - before < 1.0
