"""The grammar of a turn as assertions, for a backend's events and for those that a front end sees.

The grammar is defined in `vmpilot.contract.events`; `docs/contract.md` adds rules that a grammar cannot express.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vmpilot.contract import (
    ApprovalRequested,
    BackendEvent,
    Event,
    HistoryImported,
    MessageCompleted,
    Notice,
    ReasoningDelta,
    Retrying,
    TextDelta,
    ToolCallDelta,
    ToolFinished,
    ToolOutput,
    ToolStarted,
    TurnEnded,
    TurnStarted,
)

_OF_A_BACKEND = (TextDelta, ReasoningDelta, ToolCallDelta, MessageCompleted, Retrying, Notice)


def check_backend_events(events: Iterable[object], *, failed: bool = False) -> None:
    """Raise an AssertionError with a sentence for each rule that a backend's events of one turn break.

    `failed` means that the backend raised after these events: then the last message may be missing.
    """
    _raise(_backend_faults(list(events), failed=failed))


def check_turn(events: Iterable[Event]) -> None:
    """Raise an AssertionError with a sentence for each rule that the events of one complete turn break."""
    _raise(_turn_faults(list(events)))


def _raise(faults: Iterator[str]) -> None:
    found = list(faults)
    if found:
        raise AssertionError("\n".join(["The events do not form a turn:", *found]))


def _backend_faults(events: list[object], *, failed: bool) -> Iterator[str]:
    for position, event in enumerate(events):
        if not isinstance(event, _OF_A_BACKEND):
            yield f"event {position} is a {type(event).__name__}, which no backend yields"
    known = [event for event in events if isinstance(event, _OF_A_BACKEND)]
    yield from _message_faults(known, may_break_off=failed)
    messages = [event.message for event in known if isinstance(event, MessageCompleted)]
    if not failed and not messages:
        yield "the turn ended without a MessageCompleted"
    elif not failed and messages[-1].tool_calls:
        yield "the last message has tool calls, but the model never got their results"


def _turn_faults(events: list[Event]) -> Iterator[str]:
    kinds = [type(event) for event in events]
    if kinds[:1] != [TurnStarted]:
        yield f"the first event is {_name(kinds[:1])}, not TurnStarted"
    if kinds[-1:] != [TurnEnded]:
        yield f"the last event is {_name(kinds[-1:])}, not TurnEnded"
    for kind in (TurnStarted, TurnEnded):
        if kinds.count(kind) > 1:
            yield f"there are {kinds.count(kind)} events {kind.__name__}"
    if HistoryImported in kinds:
        yield "HistoryImported is inside the turn, but it belongs before the first one"
    yield from _message_faults([event for event in events if isinstance(event, _OF_A_BACKEND)], may_break_off=False)
    yield from _tool_faults(events)


def _name(kinds: list[type[Event]]) -> str:
    return kinds[0].__name__ if kinds else "missing"


def _message_faults(events: Iterable[BackendEvent], *, may_break_off: bool) -> Iterator[str]:
    """Deltas and message agree: each message repeats the deltas before it, if there are any."""
    said: dict[type[BackendEvent], str] = {}
    for position, event in enumerate(events):
        match event:
            case TextDelta() | ReasoningDelta():
                said[type(event)] = said.get(type(event), "") + event.text
            case Retrying(discard=True):
                said = {}
            case MessageCompleted(message=message):
                for kind, whole in ((TextDelta, message.text), (ReasoningDelta, message.reasoning)):
                    if kind in said and said[kind] != whole:
                        place = f"the message (event {position})"
                        yield f"the {kind.__name__}s say {said[kind]!r:.80}, {place} {whole!r:.80}"
                said = {}
            case _:
                pass
    if said and not may_break_off:
        yield f"deltas without a message after them: {''.join(said.values())!r:.80}"


def _tool_faults(events: Iterable[Event]) -> Iterator[str]:
    asked: set[str] = set()
    started: set[str] = set()
    finished: set[str] = set()
    for event in events:
        match event:
            case MessageCompleted(message=message):
                asked |= {call.id for call in message.tool_calls}
            case ToolStarted(call=call) | ApprovalRequested(call=call):
                yield from _start_faults(event, call.id, asked, started, finished)
            case ToolOutput(call_id=call_id) if call_id not in started - finished:
                yield f"output of the call {call_id!r}, which does not run"
            case ToolFinished(result=result):
                if result.call_id not in asked:
                    yield f"a result of the call {result.call_id!r}, for which no message before it asks"
                if result.call_id in finished:
                    yield f"the call {result.call_id!r} has a second ToolFinished"
                finished.add(result.call_id)
            case _:
                pass
    for call_id in sorted(asked - finished):
        yield f"the call {call_id!r} has no ToolFinished"


def _start_faults(
    event: ToolStarted | ApprovalRequested, call_id: str, asked: set[str], started: set[str], finished: set[str]
) -> Iterator[str]:
    kind = type(event).__name__
    if call_id not in asked:
        yield f"{kind} of the call {call_id!r}, for which no message before it asks"
    if call_id in started | finished:
        yield f"{kind} of the call {call_id!r} after it was started or finished"
    if isinstance(event, ToolStarted):
        started.add(call_id)
