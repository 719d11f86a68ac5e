"""Ids of calls for each target: accepted, all different, the same from one request to the next, and reversible."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmpilot.contract import AssistantMessage, IdForm, Message, ToolCall, ToolResult, UserMessage
from vmpilot.engine.calls._call_ids import translate_ids, with_translated_ids

FORMS = {
    "mistral": (IdForm(9, exact=True, alphabet="letters"), r"[a-zA-Z0-9]{9}"),
    "openai": (IdForm(40, alphabet="printable"), r"[!-~]{1,40}"),
    "anthropic": (IdForm(64), r"[a-zA-Z0-9_-]{1,64}"),
    "short": (IdForm(6), r"[a-zA-Z0-9_-]{1,6}"),
}
MANY = settings(database=None, derandomize=True)
FORM = pytest.mark.parametrize(("form", "pattern"), FORMS.values(), ids=FORMS)

NATIVE = st.text(string.ascii_letters + string.digits, min_size=9, max_size=9)
IDS = st.one_of(
    NATIVE,
    st.builds("call_{}".format, st.integers(0, 20)),
    st.builds("functions.shell:{}".format, st.integers(0, 20)),
    st.builds("call_a{}__thought__{}".format, st.integers(0, 9), st.text("abc+/=", min_size=30, max_size=90)),
    st.text(max_size=80),
)


def history(*ids: str) -> tuple[Message, ...]:
    """A call and its result for each id."""
    messages: list[Message] = [UserMessage.from_text("Go.")]
    for call_id in ids:
        messages += [AssistantMessage(tool_calls=(ToolCall(call_id, "shell", "{}"),)), ToolResult(call_id, "shell", "")]
    return tuple(messages)


@FORM
@MANY
@given(ids=st.lists(IDS, unique=True, max_size=12))
def test_each_id_is_accepted_unique_and_reversible(form: IdForm, pattern: str, ids: list[str]) -> None:
    stored = history(*ids)
    translation = translate_ids(stored, form)
    assert list(translation) == ids
    assert all(re.fullmatch(pattern, sent) for sent in translation.values())
    back = {sent: kept for kept, sent in translation.items()}
    assert len(back) == len(ids)
    sent = with_translated_ids(stored, translation)
    assert with_translated_ids(sent, back) == stored
    for call, result in zip(sent[1::2], sent[2::2], strict=True):
        assert isinstance(call, AssistantMessage)
        assert isinstance(result, ToolResult)
        assert call.tool_calls[0].id == result.call_id


@FORM
@MANY
@given(ids=st.lists(IDS, unique=True, min_size=1, max_size=12), data=st.data())
def test_an_id_stays_the_same_while_the_conversation_grows(
    form: IdForm, pattern: str, ids: list[str], data: st.DataObject
) -> None:
    shorter = translate_ids(history(*ids[: data.draw(st.integers(0, len(ids)))]), form)
    longer = translate_ids(history(*ids), form)
    assert shorter == {call_id: longer[call_id] for call_id in shorter}
    assert longer == translate_ids(history(*ids), form)


@FORM
@MANY
@given(ids=st.lists(IDS, unique=True, min_size=1, max_size=6), data=st.data())
def test_an_id_that_looks_like_a_translation_is_distinguished(
    form: IdForm, pattern: str, ids: list[str], data: st.DataObject
) -> None:
    """The worst case: a provider's own ids equal the translations of other ids."""
    made = list(translate_ids(history(*ids), form).values())
    mixed = data.draw(st.permutations(list(dict.fromkeys([*ids, *made]))))
    translation = translate_ids(history(*mixed), form)
    assert len(set(translation.values())) == len(mixed)
    assert all(re.fullmatch(pattern, sent) for sent in translation.values())


@FORM
def test_thousands_of_ids_stay_distinct(form: IdForm, pattern: str) -> None:
    ids = [f"call_{number}" for number in range(20_000)]
    translation = translate_ids(history(*ids), form)
    assert len(set(translation.values())) == len(ids)


@MANY
@given(call_id=NATIVE)
def test_an_accepted_id_is_sent_unchanged(call_id: str) -> None:
    stored = history(call_id)
    for form in (FORMS["mistral"][0], FORMS["openai"][0], FORMS["anthropic"][0]):
        translation = translate_ids(stored, form)
        assert translation == {call_id: call_id}
        assert all(new is old for new, old in zip(with_translated_ids(stored, translation), stored, strict=True))
