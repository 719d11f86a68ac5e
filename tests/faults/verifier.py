"""Checks how a client handled a fault: rules for every turn, and what this fault requires."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.faults.fault import Outcome
from tests.faults.playing import AFTERWARDS, KEY, Observation

from vmpilot.contract import (
    AssistantMessage,
    Event,
    LimitReached,
    MessageCompleted,
    Notice,
    Retrying,
    TextDelta,
    ToolFinished,
    ToolResult,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    encode_event,
)
from vmpilot.testing.answers import wants_stream

LONGEST_SENTENCE = 500
"""Maximum characters of a sentence for the user."""

LONGEST_TEXT = 2_500_000
"""The most characters that a client may accept of one answer."""

_NOT_PLAIN = re.compile(r"\n|Traceback|<[\w.]+ object|\b[A-Z]\w*(Error|Exception)\(|\w+Error: |0x[0-9a-f]{6,}")


def verify(seen: Observation) -> tuple[str, ...]:
    """The problems, one sentence each; empty for a good client."""
    if seen.raised:
        return (f"the client did not finish its turn: {seen.raised[:300]}",)
    wrong = [
        *_grammar(seen.first),
        *_sentences(seen.first),
        *_doubled(seen.first),
        *_runs(seen),
        *_secrecy(seen),
        *_bounds(seen),
        *_wire(seen),
    ]
    if not wrong:
        wrong += _expectation(seen)
    if seen.fault.place == "server":
        wrong += _afterwards(seen)
    return tuple(wrong)


def _of(events: Sequence[Event], *kinds: type[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kinds)]


def _messages(events: Sequence[Event]) -> list[AssistantMessage]:
    return [event.message for event in events if isinstance(event, MessageCompleted)]


def _results(events: Sequence[Event]) -> list[ToolResult]:
    return [event.result for event in events if isinstance(event, ToolFinished)]


def _said(events: Sequence[Event]) -> str:
    return "".join(message.text for message in _messages(events))


def _end(events: Sequence[Event]) -> TurnEnded | None:
    last = events[-1] if events else None
    return last if isinstance(last, TurnEnded) else None


def _grammar(events: Sequence[Event]) -> Iterator[str]:
    """One start, one end, and one result for each call of a message."""
    if not events or not isinstance(events[0], TurnStarted) or len(_of(events, TurnStarted)) != 1:
        yield "the turn does not begin with one TurnStarted"
    if _end(events) is None or len(_of(events, TurnEnded)) != 1:
        yield f"the turn does not end with one TurnEnded, but there are {len(_of(events, TurnEnded))}"
    asked = Counter(call.id for message in _messages(events) for call in message.tool_calls)
    answered = Counter(result.call_id for result in _results(events))
    if asked != answered:
        yield f"{(asked - answered).total()} calls have no result, {(answered - asked).total()} results no call"
    if most := [id_ for id_, count in asked.items() if count > 1]:
        yield f"the call id {most[0]!r:.40} is used twice"


def _sentences(events: Sequence[Event]) -> Iterator[str]:
    """The turn is never silent, and each sentence for the user is plain."""
    for event in events:
        match event:
            case Notice():
                yield from _plain("a notice", event.text)
            case Retrying():
                yield from _plain("the reason for a retry", event.why)
            case LimitReached():
                yield from _plain("the sentence about the limit", event.text)
            case TurnEnded(reason="answered"):
                last = _messages(events)[-1:]
                if not (last and last[0].text.strip()):
                    yield "silence: the turn ended as answered without text"
            case TurnEnded():
                yield from _plain("the sentence at the end", _sentence(events))
            case _:
                pass


def _sentence(events: Sequence[Event]) -> str:
    """What the user reads at the end of a turn without an answer."""
    end = _end(events)
    limits = [event.text for event in events if isinstance(event, LimitReached)]
    return (end.error if end else None) or (limits[-1] if limits else "")


def _plain(what: str, sentence: str) -> Iterator[str]:
    if len(sentence) < 10:
        yield f"{what} is too short: {sentence!r}"
    elif len(sentence) > LONGEST_SENTENCE:
        yield f"{what} is {len(sentence)} characters long: {sentence[:80]!r}"
    elif _NOT_PLAIN.search(sentence) or not sentence.isprintable():
        yield f"{what} is not plain: {sentence!r:.300}"


def _doubled(events: Sequence[Event]) -> Iterator[str]:
    """The text that a front end shows, less the retracted text, is the text of the messages."""
    pieces: list[str] = []
    for event in events:
        match event:
            case TextDelta():
                pieces.append(event.text)
            case Retrying(discard=True):
                pieces.clear()
            case MessageCompleted():
                if (shown := "".join(pieces)) != event.message.text:
                    yield f"shown: {shown!r:.80}, in the message: {event.message.text!r:.80}"
                pieces.clear()
            case _:
                pass
    if pieces:
        yield f"text was shown that is in no message: {''.join(pieces)!r:.80}"


def _runs(seen: Observation) -> Iterator[str]:
    """No partial call ran, and no call ran twice."""
    whole = {
        call.id: call for message in _messages(seen.first) if message.ended_properly for call in message.tool_calls
    }
    started = [event.call for event in seen.first if isinstance(event, ToolStarted)]
    if any(whole.get(call.id) != call for call in started):
        yield "a call ran that is in no message with a proper end"
    if any(count > 1 for count in Counter(call.id for call in started).values()):
        yield "a call ran twice"
    starts = sum(call.arguments.count(">> runs") for call in started)
    if len(seen.ran) > starts:
        yield f"{len(seen.ran)} marks by {starts} commands: {seen.ran[:3]}"


def _secrecy(seen: Observation) -> Iterator[str]:
    """The key appears only in the headers of requests to its own origin."""
    if any(KEY in encode_event(event) for event in (*seen.first, *seen.second)):
        yield "an event contains the key"
    if seen.leaks:
        yield f"files contain the key: {', '.join(seen.leaks)}"
    if any(KEY in repr((request.headers, request.body, request.path)) for request in seen.elsewhere):
        yield "the key went to another origin"
    if any(KEY in repr((request.body, request.path)) for request in seen.requests):
        yield "the key is in the body of a request"
    if not all(KEY in str(request.headers.get("authorization")) for request in seen.requests):
        yield "a request lacks the key"


def _bounds(seen: Observation) -> Iterator[str]:
    if len(_said(seen.first)) > LONGEST_TEXT:
        yield f"{len(_said(seen.first)):,} characters of text were accepted"
    if seen.grown is not None and seen.grown > seen.fault.megabytes:
        yield f"the process grew by {seen.grown:.0f} MB; at most {seen.fault.megabytes} are allowed"
    if not seen.closed:
        yield "the dead connection was not closed"


def _wire(seen: Observation) -> Iterator[str]:
    """Requests that the strictest provider accepts, and the wait that the server asked for."""
    yield from (f"a strict provider rejects: {fault:.200}" for fault in seen.faults[:3])
    if any(wants_stream(request.body) != seen.streaming for request in seen.requests):
        yield "the request ignores the streaming setting"
    if seen.fault.waits and len(seen.requests) > 1:
        waited = seen.requests[1].arrived_at - seen.requests[0].arrived_at
        if waited < seen.fault.waits:
            yield f"waited {waited:.2f} s instead of {seen.fault.waits:g} s"


def _expectation(seen: Observation) -> Iterator[str]:
    misses = [tuple(_misses(seen, outcome)) for outcome in seen.fault.expects]
    if all(misses):
        yield " / or: ".join("; ".join(miss) for miss in misses)


def _misses(seen: Observation, good: Outcome) -> Iterator[str]:
    """The differences from this outcome."""
    end = _end(seen.first)
    sentence = _sentence(seen.first)
    if end is None or end.reason != good.end:
        yield f"ended {end and end.reason} rather than {good.end} ({sentence!r:.200})"
    elif good.says and not re.search(good.says, sentence, re.IGNORECASE):
        yield f"{sentence!r:.300} does not match {good.says!r}"
    if good.text is not None and _said(seen.first) != good.text:
        yield f"said {_said(seen.first)!r:.100} rather than {good.text!r:.100}"
    least, most = good.requests
    if not least <= len(seen.requests) <= most:
        yield f"asked {len(seen.requests)} times rather than {least}{f' to {most}' if most > least else ''}"
    if good.ran is not None and Counter(seen.ran) != Counter(good.ran):
        yield f"ran {_shortly(seen.ran)} rather than {_shortly(good.ran)}"
    if len(seen.ran) > good.most_runs:
        yield f"ran {len(seen.ran)} commands, more than {good.most_runs}"
    limits = [event.limit for event in seen.first if isinstance(event, LimitReached)]
    if good.limit is not None and good.limit not in limits:
        yield f"the limit is {limits} rather than {good.limit}"
    yield from _missing_problems(seen, good.problems)


def _missing_problems(seen: Observation, patterns: tuple[str, ...] | None) -> Iterator[str]:
    if patterns is None:
        return
    received = [result.text for result in _results(seen.first) if result.is_error]
    if len(received) != len(patterns):
        yield f"{len(received)} calls failed rather than {len(patterns)}{f': {received[0]!r:.150}' if received else ''}"
        return
    for text, pattern in zip(received, patterns, strict=True):
        if not re.search(pattern, text, re.IGNORECASE):
            yield f"the model received {text!r:.200}, which does not match {pattern!r}"


def _shortly(lines: Sequence[str]) -> str:
    return f"{len(lines)} lines" if len(lines) > 4 else f"({', '.join(lines)})"


def _afterwards(seen: Observation) -> Iterator[str]:
    """The conversation continues: a strict server accepts its history and answers."""
    end = _end(seen.second)
    if end is None or end.reason != "answered" or _said(seen.second) != AFTERWARDS:
        sentence = _sentence(seen.second)
        yield f"the next turn ended {end and end.reason}: {_said(seen.second)!r:.60} {sentence!r:.200}"
