"""The form of a conversation that a model's server accepts: required provider data, unsupported parts, valid ids.

The log uses a single form; each call is converted to the form of its target only here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    IdForm,
    Message,
    MessageCompleted,
    ModelCall,
    ModelNotFound,
    RefusedMessages,
    TextPart,
    UserMessage,
)
from vmpilot.engine.calls._call_ids import translate_ids, with_translated_ids
from vmpilot.providers import find_provider, parse_model_name
from vmpilot.providers.provider_metadata import CALLS, read_call_data

_NO_SIGNATURE = MappingProxyType(
    {"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}
)
"""Required by Google on calls that its model did not make (https://ai.google.dev/gemini-api/docs/thought-signatures)."""
_SIGNED_ID = "__thought__"
"""Separates the id from the signature in ids of LiteLLM's proxy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageForm:
    """How messages are sent to one model.

    `ids` are the call ids that it accepts, None for any. With `reasoning`, each answer is sent back with its reasoning
    while tools are offered; with `signatures`, a call without a signature gets Google's placeholder. Without
    `opaque_data`, no opaque data is sent; without `system_role`, the system prompt is part of the first user message.
    """

    ids: IdForm | None = None
    reasoning: bool = False
    signatures: bool = False
    opaque_data: bool = True
    system_role: bool = True

    def mended(self, refused: RefusedMessages) -> MessageForm | None:
        """The form that avoids the problem; None if this form should already avoid it."""
        match refused.problem:
            case "call_ids":
                form = replace(self, ids=refused.id_form)
            case "opaque_data":
                form = replace(self, opaque_data=False, reasoning=False)
            case "reasoning_missing":
                form = replace(self, reasoning=True)
            case "signature_missing":
                form = replace(self, signatures=True)
            case "system_role" | "roles":
                form = replace(self, system_role=False)
        return None if form == self else form

    def fit(self, call: ModelCall) -> tuple[ModelCall, Mapping[str, str]]:
        """The call in this form, and a mapping from the sent ids of its tool calls to the stored ones."""
        if self.reasoning or self.signatures or not self.opaque_data:
            provider = _find_provider(call.model, call.settings.base_url)
            messages = tuple(
                self._with_data(message, provider, reasoning=bool(call.tools)) for message in call.messages
            )
            call = msgspec.structs.replace(call, messages=messages)
        if call.system and not self.system_role:
            call = _with_folded_system(call)
        if self.ids is None:
            return call, {}
        translation = translate_ids(call.messages, self.ids)
        call = msgspec.structs.replace(call, messages=with_translated_ids(call.messages, translation))
        return call, {sent: stored for stored, sent in translation.items()}

    def _with_data(self, message: Message, provider: str | None, *, reasoning: bool) -> Message:
        if not isinstance(message, AssistantMessage):
            return message
        own = message.provider_data if self.opaque_data and message.provider == provider else None
        data: dict[str, Any] = dict(own or {})
        if self.signatures and message.tool_calls and not _is_signed(message, data):
            data[CALLS] = [dict(_NO_SIGNATURE)]
        if self.reasoning and reasoning:
            data["reasoning_content"] = message.reasoning
        has_data = bool(data) and provider is not None  # opaque data is never sent to an unnamed provider
        return msgspec.structs.replace(
            message, provider=provider if has_data else None, provider_data=data if has_data else None
        )


def usual_form(model: str, *, base_url: str | None) -> MessageForm:
    """The known form for a model's provider."""
    name = _find_provider(model, base_url) or ""
    provider = find_provider(name)
    # The user's own server reports by itself which ids it rejects.
    ids = None if name == "openai" and base_url is not None else provider.call_ids
    return MessageForm(ids=ids, reasoning=provider.wants_reasoning)


def _find_provider(model: str, base_url: str | None) -> str | None:
    """None for a model of an unknown provider: the backend knows the provider or reports an error."""
    try:
        return parse_model_name(model, base_url=base_url).provider
    except ModelNotFound:
        return None


def with_stored_ids(completed: MessageCompleted, stored_ids: Mapping[str, str]) -> MessageCompleted:
    """The answer to a converted call: a model that repeats a sent id means the stored one."""
    (message,) = with_translated_ids((completed.message,), stored_ids)
    return completed if message is completed.message else msgspec.structs.replace(completed, message=message)


def _is_signed(message: AssistantMessage, data: Mapping[str, Any]) -> bool:
    """Gemini signs only the first of several parallel calls."""
    calls = enumerate(message.tool_calls)
    return any(any(read_call_data(data, at)) or _SIGNED_ID in call.id for at, call in calls)


def _with_folded_system(call: ModelCall) -> ModelCall:
    """The call with its system prompt at the head of the first user message."""
    messages = list(call.messages)
    match messages[:1]:
        case [UserMessage(content=(TextPart(text=text), *rest))]:
            messages[0] = UserMessage((TextPart(f"{call.system}\n\n{text}"), *rest))
        case [UserMessage(content=parts)]:
            messages[0] = UserMessage((TextPart(call.system), *parts))
        case _:
            messages.insert(0, UserMessage.from_text(call.system))
    return msgspec.structs.replace(call, system="", messages=tuple(messages))
