"""Turns the log into a history that the strictest provider accepts: pure functions over events and messages."""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count
from types import MappingProxyType
from typing import Any, NoReturn

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    Event,
    HistoryCompacted,
    HistoryImported,
    ImagePart,
    Message,
    MessageCompleted,
    TextPart,
    ToolCall,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnStarted,
    UserMessage,
)
from vmpilot.engine.compacted_history import compact

NEVER_STARTED = "Canceled before it started. Repeat the call if it is still needed."
MAY_HAVE_RUN = "Interrupted. The call may have had partial effects: check them before you repeat it."
NO_ANSWER = "(This turn ended without an answer.)"
NO_REQUEST = "(The user said nothing here.)"
NO_CONTENT = "(This message is empty.)"

_GOOD_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def messages_in(events: Iterable[Event], *then: Message) -> tuple[Message, ...]:
    """The history recorded by the events, followed by the messages.

    Each tool call is answered right after its message, and user and assistant alternate, starting with the user, even
    if imported messages did not. Failed calls get names and arguments that can be sent. If the conversation was
    compacted, the summary replaces it.
    """
    messages: list[Message] = []
    for event in events:
        match event:
            case TurnStarted() if event.message.content:
                messages.append(event.message)
            case HistoryImported():
                messages.extend(event.messages)
            case MessageCompleted():
                messages.append(event.message)
            case ToolFinished():
                messages.append(event.result)
            case HistoryCompacted():
                messages = list(compact(messages, event))
            case _:
                pass
    return tuple(_answered((*messages, *then)))


def unanswered_calls(
    events: Iterable[Event], outputs: Mapping[str, str] = MappingProxyType({})
) -> tuple[ToolFinished, ...]:
    """A result for each tool call that has none because its turn was interrupted, to be stored once.

    `outputs` maps the ids of started calls to their output so far.
    """
    calls: dict[str, ToolCall] = {}
    started: set[str] = set()
    for event in events:
        match event:
            case MessageCompleted():
                calls |= {call.id: call for call in event.message.tool_calls}
            case ToolStarted():
                started.add(event.call.id)
            case ToolFinished():
                calls.pop(event.result.call_id, None)
            case _:
                pass
    return tuple(
        ToolFinished(_interrupted(call, _interruption(call, started, outputs)), seconds=0.0, interrupted=True)
        for call in calls.values()
    )


def _interruption(call: ToolCall, started: Collection[str], outputs: Mapping[str, str]) -> str:
    if call.id not in started:
        return NEVER_STARTED
    output = outputs.get(call.id, "")
    return f"{output.rstrip()}\n[{MAY_HAVE_RUN}]" if output.strip() else MAY_HAVE_RUN


def call_ids(messages: Iterable[Message]) -> set[str]:
    """The ids of all tool calls in the messages."""
    spoken = (message for message in messages if isinstance(message, AssistantMessage))
    return {call.id for message in spoken for call in message.tool_calls}


def with_unique_ids(message: AssistantMessage, taken: set[str]) -> AssistantMessage:
    """The message with a valid id for each call that is not in `taken`; the ids are added to `taken`."""
    calls = []
    for call in message.tool_calls:
        usable = call.id and call.id not in taken and _clean(call.id) == call.id
        id_ = call.id if usable else next(new for at in count(len(taken) + 1) if (new := f"call_{at}") not in taken)
        taken.add(id_)
        calls.append(call if id_ == call.id else msgspec.structs.replace(call, id=id_))
    if tuple(calls) == message.tool_calls:
        return message
    return msgspec.structs.replace(message, tool_calls=tuple(calls))


def _answered(messages: Iterable[Message]) -> Iterator[Message]:
    spoken, results = _paired(messages)
    users_turn = True
    for message in spoken:
        if isinstance(message, UserMessage):
            if not users_turn:
                yield AssistantMessage(NO_ANSWER)
            yield message
            users_turn = False
            continue
        if users_turn:
            yield UserMessage.from_text(NO_REQUEST)
        yield _with_harmless_calls(message, results)
        for call in message.tool_calls:
            yield results.get(call.id) or _interrupted(call, NEVER_STARTED)
        users_turn = not message.tool_calls


def _with_harmless_calls(message: AssistantMessage, results: Mapping[str, ToolResult]) -> AssistantMessage:
    """For backends that send a history unchanged. Only failed calls can be broken, so only they are checked."""
    failed = {call.id for call in message.tool_calls if (found := results.get(call.id)) is None or found.is_error}
    calls = tuple(_sendable_call(call) if call.id in failed else call for call in message.tool_calls)
    return message if calls == message.tool_calls else msgspec.structs.replace(message, tool_calls=calls)


def _paired(messages: Iterable[Message]) -> tuple[list[UserMessage | AssistantMessage], dict[str, ToolResult]]:
    """The messages of user and assistant with unique call ids, and the results by these ids.

    Calls with the same id get their results in order; results without a call are left out.
    """
    spoken: list[UserMessage | AssistantMessage] = []
    results: dict[str, ToolResult] = {}
    waiting: defaultdict[str, deque[str]] = defaultdict(deque)
    taken: set[str] = set()
    for message in messages:
        match message:
            case UserMessage():
                spoken.append(message)
            case AssistantMessage():
                spoken.append(renamed := with_unique_ids(message, taken))
                for call, own in zip(message.tool_calls, renamed.tool_calls, strict=True):
                    waiting[call.id].append(own.id)
            case ToolResult():
                if waiting[message.call_id]:
                    id_ = waiting[message.call_id].popleft()
                    results[id_] = message if message.call_id == id_ else msgspec.structs.replace(message, call_id=id_)
    return spoken, results


def _interrupted(call: ToolCall, text: str) -> ToolResult:
    return ToolResult(call.id, call.name, text, is_error=True)


def sendable(message: Message) -> Message:
    """The message with characters that JSON or UTF-8 cannot encode replaced, and broken calls made harmless."""
    match message:
        case UserMessage():
            parts = tuple(_sendable_part(part) for part in message.content if not _is_blank(part))
            return UserMessage(parts or (TextPart(NO_CONTENT),))
        case ToolResult():
            return msgspec.structs.replace(message, text=_clean(message.text))
        case AssistantMessage():
            text = message.text if message.text.strip() or message.tool_calls else NO_ANSWER
            return msgspec.structs.replace(
                message,
                text=_clean(text),
                reasoning=_clean(message.reasoning),
                tool_calls=tuple(_sendable_call(call) for call in message.tool_calls),
                provider_data=_clean_data(message.provider_data),
            )


def _is_blank(part: TextPart | ImagePart) -> bool:
    return isinstance(part, TextPart) and not part.text.strip()


def _sendable_part(part: TextPart | ImagePart) -> TextPart | ImagePart:
    return TextPart(_clean(part.text)) if isinstance(part, TextPart) else part


def _sendable_call(call: ToolCall) -> ToolCall:
    """Servers parse the arguments in a history and fail on broken ones; the call's result explains the error."""
    name = call.name if _GOOD_NAME.fullmatch(call.name) else "unreadable_name"
    try:
        whole = isinstance(json.loads(call.arguments, parse_constant=_refuse_constant), dict)
    except (ValueError, RecursionError):
        whole = False
    return ToolCall(call.id, name, _clean(call.arguments) if whole else "{}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is Python, not JSON")


def _clean_data(value: Any) -> Any:
    """The same for provider data, which may be any JSON value."""
    match value:
        case str():
            return _clean(value)
        case dict():
            return {_clean(name): _clean_data(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_clean_data(inner) for inner in value]
        case _:
            return value


def _clean(text: str) -> str:
    if "\0" not in text and _encodes(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
