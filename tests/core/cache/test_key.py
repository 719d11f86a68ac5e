"""Which requests share a cache key, and what the key reveals."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from vmpilot.cache._key import EntryKey, Origin, entry_key
from vmpilot.contract import (
    AssistantMessage,
    ImagePart,
    Message,
    ModelCall,
    ModelSettings,
    Secret,
    TextPart,
    TimeLimits,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
)
from vmpilot.engine.tool_data import as_data, without_boundary

from .conftest import make_call

ORIGIN = Origin("engine 1", variables={"OPENAI_API_KEY": "sk-a", "OPENAI_BASE_URL": "http://a", "HOME": "/root"})
CALL = msgspec.structs.replace(
    make_call(),
    messages=(
        UserMessage((TextPart("Look."), ImagePart("data:image/png;base64,AAAA"))),
        AssistantMessage("", "Hm.", (ToolCall("c1", "shell", '{"command": "ls"}'),), "tool_calls", "p", {"s": "1"}),
        ToolResult("c1", "shell", "a\nb"),
    ),
    tools=(ToolSpec("shell", "Runs.", {"type": "object", "properties": {}}),),
)


def key(call: ModelCall, origin: Origin = ORIGIN) -> EntryKey:
    found = entry_key(call, origin, comparable=without_boundary)
    assert found is not None
    return found


def with_messages(*messages: Message) -> ModelCall:
    return msgspec.structs.replace(CALL, messages=messages)


def changed(**settings: Any) -> ModelCall:
    return msgspec.structs.replace(CALL, settings=msgspec.structs.replace(CALL.settings, **settings))


USER, ASSISTANT, RESULT = CALL.messages
DIFFERENT = {
    "text": with_messages(UserMessage((TextPart("Look!"), ImagePart("data:image/png;base64,AAAA"))), ASSISTANT, RESULT),
    "image": with_messages(
        UserMessage((TextPart("Look."), ImagePart("data:image/png;base64,AAAB"))), ASSISTANT, RESULT
    ),
    "order": with_messages(
        UserMessage((ImagePart("data:image/png;base64,AAAA"), TextPart("Look."))), ASSISTANT, RESULT
    ),
    "reasoning": with_messages(USER, msgspec.structs.replace(ASSISTANT, reasoning=""), RESULT),
    "opaque data": with_messages(USER, msgspec.structs.replace(ASSISTANT, provider_data={"s": "2"}), RESULT),
    "result": with_messages(USER, ASSISTANT, ToolResult("c1", "shell", "a\nc")),
    "failed result": with_messages(USER, ASSISTANT, ToolResult("c1", "shell", "a\nb", is_error=True)),
    "history": with_messages(USER),
    "system": msgspec.structs.replace(CALL, system="Be long."),
    "model": msgspec.structs.replace(CALL, model="openai/n"),
    "tools": msgspec.structs.replace(CALL, tools=()),
    "temperature": changed(temperature=0.1),
    "max_tokens": changed(max_tokens=5),
    "effort": changed(reasoning_effort="high"),
    "seed": changed(seed=0),
    "server": changed(base_url="http://127.0.0.1:2/v1"),
    "key": changed(api_key=Secret("sk-other-0123456789")),
    "no key": changed(api_key=None),
}


def test_anything_that_affects_the_answer_changes_the_key() -> None:
    names = {what: key(call).name for what, call in DIFFERENT.items()}
    assert len({key(CALL).name, *names.values()}) == len(DIFFERENT) + 1, names


@pytest.mark.parametrize(
    "settings",
    [{"streaming": False}, {"omitted": ("stream_options",)}, {"time_limits": TimeLimits(whole=1)}],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_that_do_not_affect_the_answer_keep_the_key(settings: dict[str, Any]) -> None:
    assert key(changed(**settings)) == key(CALL)


@pytest.mark.parametrize("origin", [Origin("engine 2"), Origin("engine 1", "text")])
def test_each_engine_has_different_keys(origin: Origin) -> None:
    assert key(CALL, origin) != key(CALL)


def test_the_boundary_of_tool_output_is_ignored() -> None:
    def shown(conversation: str, text: str = "a\nb") -> ModelCall:
        result = as_data(ToolResult("c1", "shell", text), conversation_id=conversation)
        return with_messages(USER, ASSISTANT, result)

    assert shown("one") != shown("two")
    assert key(shown("one")) == key(shown("two"))
    assert key(shown("one", "a\nb\n")) != key(shown("one"))
    inner = as_data(ToolResult("c1", "shell", "a\nb"), conversation_id="one").text
    assert key(shown("one", inner)) != key(shown("one"))


@pytest.mark.parametrize(
    ("variable", "counts"),
    [("OPENAI_API_KEY", True), ("OPENAI_BASE_URL", True), ("OPENAI_ORG_ID", True), ("HOME", False), ("AWS_X", False)],
)
def test_variables_of_the_provider_count_only_for_its_own_server(variable: str, counts: bool) -> None:
    other = Origin("engine 1", variables={**ORIGIN.variables, variable: "other"})
    own = changed(base_url=None, api_key=None)
    assert (key(own, other) != key(own)) is counts
    assert key(CALL, other) == key(CALL)  # they are not sent to a custom server


def test_a_provider_with_variables_of_other_names() -> None:
    call = msgspec.structs.replace(changed(base_url=None, api_key=None), model="bedrock/claude")
    assert key(call, Origin("e", variables={"AWS_PROFILE": "a"})) != key(
        call, Origin("e", variables={"AWS_PROFILE": "b"})
    )


def test_a_temporary_server_is_identified_by_its_model() -> None:
    def at(port: int, model: str) -> EntryKey:
        url = f"http://127.0.0.1:{port}/v1"
        return key(changed(base_url=url, api_key=Secret(str(port))), Origin("e", stand_ins={url: model}))

    assert at(1, "weights") == at(2, "weights")
    assert at(1, "weights") != at(1, "others")


def test_a_model_without_a_provider_has_no_key() -> None:
    call = ModelCall((USER,), "", "nobody-knows-it", ModelSettings(temperature=0), ())
    assert entry_key(call, ORIGIN, comparable=without_boundary) is None


def test_the_name_is_a_hash_and_no_secret_is_printed() -> None:
    found = key(CALL)
    assert len(found.name) == 64
    assert repr(found) == f"EntryKey(name='{found.name}')"
    assert "sk-a" not in repr(ORIGIN)


def test_an_entry_opens_only_with_the_key_that_sealed_it() -> None:
    own, other = key(CALL), key(DIFFERENT["key"])
    entry = own.seal(b"answer")
    assert own.unseal(entry) == b"answer"
    assert [other.unseal(entry), own.unseal(entry[:-1]), own.unseal(b""), own.unseal(b"answer")] == [None] * 4


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("fireworks_ai/m", "FIREWORKS_API_KEY"),
        ("huggingface/m", "HF_TOKEN"),
        ("together_ai/m", "TOGETHER_API_KEY"),
        ("gemini/m", "GOOGLE_API_KEY"),
        ("unheard_of/m", "UNHEARD_OF_API_KEY"),
    ],
)
def test_different_api_keys_have_different_cache_keys(model: str, variable: str) -> None:
    names = set()
    for key in ("one", "other"):
        call = ModelCall((), "", model, ModelSettings(), ())
        found = entry_key(call, Origin("engine", variables={variable: key}), comparable=lambda message: message)
        assert found is not None
        names.add(found.name)
    assert len(names) == 2
