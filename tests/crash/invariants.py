"""The invariants after any crash, as one pure function of the log, the machine and the model server.

It depends neither on how a run was interrupted nor on where the log is stored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

from tests.tool_data import output_in

from vmpilot.contract import Event, MessageCompleted, ToolCall, ToolFinished, ToolStarted, TurnEnded, TurnStarted
from vmpilot.engine.history import MAY_HAVE_RUN, NEVER_STARTED

Violations: TypeAlias = Iterator[str]
Entries: TypeAlias = Sequence[tuple[int, Event]]
"""A conversation's entries with their numbers, in numerical order."""


@dataclass(frozen=True)
class Evidence:
    """All observations of a few runs of one user.

    `asked` are the requests in order, the last of which ran to its end if `resumed`; `shown` the events that the runs
    printed; `requests` the messages of each model call; `effects` the marks that commands left; `faults` those found
    by the strict server; `crashes` how many runs were interrupted.
    """

    log: Mapping[str, Entries]
    asked: Sequence[str] = ()
    shown: Sequence[Event] = ()
    requests: Sequence[Sequence[Mapping[str, Any]]] = ()
    effects: Sequence[str] = ()
    faults: Sequence[str] = ()
    resumed: bool = False
    crashes: int = 1

    @cached_property
    def events(self) -> Sequence[Event]:
        """The complete contents of the log."""
        return [event for entries in self.log.values() for _, event in entries]


def violations(evidence: Evidence) -> tuple[str, ...]:
    """The violations, one sentence each, prefixed by the number of the invariant; empty if all hold."""
    return (
        *_request_violations(evidence),
        *_shown_violations(evidence),
        *_sent_violations(evidence),
        *_effect_violations(evidence),
        *_order_violations(evidence),
        *_write_error_violations(evidence),
        *_result_violations(evidence),
        *(f"6: {fault}" for fault in evidence.faults),
        *_numbering_violations(evidence),
        *_turn_violations(evidence),
    )


def _request_violations(evidence: Evidence) -> Violations:
    """1: an acknowledged request is in the log, once, in order."""
    logged = [event.message.text for event in evidence.events if isinstance(event, TurnStarted)]
    for text, count in Counter(logged).items():
        if count > 1:
            yield f"1: the request {text!r} is in the log {count} times"
    if logged != [text for text in evidence.asked if text in logged]:
        yield f"1: the requests {list(evidence.asked)} are in the log as {logged}"
    said = {message["content"] for request in evidence.requests for message in request if message["role"] == "user"}
    for text in evidence.asked:
        if text in said and text not in logged:
            yield f"1: the model was asked {text!r}, which is not in the log"


def _shown_violations(evidence: Evidence) -> Violations:
    """1 and 2: events shown, except transient ones, are in the log; tool calls are logged with their start."""
    for event in evidence.shown:
        kept = isinstance(event, TurnStarted | MessageCompleted | ToolStarted | ToolFinished)
        waits = isinstance(event, MessageCompleted) and bool(_calls(event))
        if kept and not waits and event not in evidence.events:
            number = 1 if isinstance(event, TurnStarted) else 2
            yield f"{number}: it was shown and is not in the log: {event!r:.200}"


def _sent_violations(evidence: Evidence) -> Violations:
    """2 and 5: tool results sent to the model equal those in the log."""
    logged = {event.result.call_id: event.result.text for event in evidence.events if isinstance(event, ToolFinished)}
    called = {call.id for event in evidence.events if isinstance(event, MessageCompleted) for call in _calls(event)}
    for request in evidence.requests:
        for message in request:
            if message["role"] == "tool" and logged.get(message["tool_call_id"]) != output_in(message["content"]):
                yield f"2: the model got a result that is not in the log: {message!r:.200}"
            for call in message.get("tool_calls") or ():
                if call["id"] not in called:
                    yield f"2: the model received one of its calls that is not in the log: {call['id']}"


def _effect_violations(evidence: Evidence) -> Violations:
    """3 and 4: no effect occurs without a committed start, or twice."""
    started = [mark for event in evidence.events if isinstance(event, ToolStarted) for mark in marks_of(event)]
    for mark, count in Counter(evidence.effects).items():
        if mark not in started:
            yield f"3: the command {mark} ran, and its start is not in the log"
        if count > 1:
            yield f"4: the command {mark} ran {count} times"
    for mark, count in Counter(started).items():
        if count > 1:
            yield f"4: the command {mark} was started {count} times"


def _order_violations(evidence: Evidence) -> Violations:
    """3: message, start and result of a call are in this order."""
    asked: set[str] = set()
    started: set[str] = set()
    for event in evidence.events:
        match event:
            case MessageCompleted():
                asked |= {call.id for call in _calls(event)}
            case ToolStarted():
                started.add(event.call.id)
                if event.call.id not in asked:
                    yield f"3: {event.call.id} starts before the message that asks for it"
            case ToolFinished():
                if event.result.call_id not in asked:
                    yield f"3: {event.result.call_id} ends before the message that asks for it"
                if event.exit_code is not None and event.result.call_id not in started:
                    yield f"3: {event.result.call_id} ran without a start"
            case _:
                pass


def _write_error_violations(evidence: Evidence) -> Violations:
    """9: no command runs after the result of the previous one was lost; these commands run sequentially."""
    for conversation, entries in evidence.log.items():
        running: set[str] = set()
        for _, event in entries:
            match event:
                case ToolStarted():
                    if running and not set(marks_of(event)).isdisjoint(evidence.effects):
                        yield f"9: in {conversation} {event.call.id} runs while {sorted(running)} have no result"
                    running.add(event.call.id)
                case ToolFinished():
                    running.discard(event.result.call_id)
                case TurnStarted():
                    running.clear()
                case _:
                    pass


def _result_violations(evidence: Evidence) -> Violations:
    """5: each call finally has one result; if it was interrupted, the result says how far it got."""
    calls = [call.id for event in evidence.events if isinstance(event, MessageCompleted) for call in _calls(event)]
    started = {event.call.id for event in evidence.events if isinstance(event, ToolStarted)}
    results = [event.result for event in evidence.events if isinstance(event, ToolFinished)]
    count = Counter(result.call_id for result in results)
    for call_id in calls:
        if count[call_id] > 1 or (evidence.resumed and not count[call_id]):
            yield f"5: {call_id} has {count[call_id]} results"
    for result in results:
        if result.call_id in started and result.text == NEVER_STARTED:
            yield f"5: {result.call_id} started, and its result says that it never did"
        if result.call_id not in started and result.text != NEVER_STARTED:
            yield f"5: {result.call_id} never started, and its result says {result.text!r:.100}"
        if result.is_error and result.text not in {NEVER_STARTED, MAY_HAVE_RUN} and "[exit code" not in result.text:
            yield f"5: {result.call_id} has an unexpected result: {result.text!r:.100}"


def _numbering_violations(evidence: Evidence) -> Violations:
    """8: numbers have no gaps."""
    for conversation, entries in evidence.log.items():
        numbers = [number for number, _ in entries]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"8: the entries of {conversation} have the numbers {numbers}"


def _turn_violations(evidence: Evidence) -> Violations:
    """8: only an interrupted run leaves a turn without an end, and every entry of a turn lies within it."""
    open_turns = sum(_count_open_turns(entries) for entries in evidence.log.values())
    if open_turns > evidence.crashes:
        yield f"8: {open_turns} turns have no end after {evidence.crashes} crashes"
    for conversation, entries in evidence.log.items():
        inside = False
        for _, event in entries:
            if isinstance(event, TurnStarted):
                inside = True
            elif not inside and not _is_mended(event):
                yield f"8: in {conversation} this stands outside of any turn: {event!r:.100}"
            elif isinstance(event, TurnEnded):
                inside = False
        if evidence.resumed and inside:
            yield f"8: the last turn of {conversation} went to its end and is not marked so"


def _is_mended(event: Event) -> bool:
    """Whether this result replaces one that never arrived."""
    return isinstance(event, ToolFinished) and event.result.text in {NEVER_STARTED, MAY_HAVE_RUN}


def _count_open_turns(entries: Entries) -> int:
    kinds = [type(event) for _, event in entries]
    return kinds.count(TurnStarted) - kinds.count(TurnEnded)


def _calls(event: MessageCompleted) -> Sequence[ToolCall]:
    return event.message.tool_calls


def marks_of(event: ToolStarted) -> list[str]:
    """The marks that the command of this call leaves: the words after `echo`."""
    words = json.loads(event.call.arguments)["command"].split()
    return [mark for word, mark in pairwise(words) if word == "echo"]
