"""The events of a turn, as values. Their JSON (`"type"` first) is the wire form of `--output jsonl` and of the log.

A backend yields the events of `BackendEvent`; the core adds the others. The grammar of a turn::

    turn    = TurnStarted { call | tools | Notice | HistoryCompacted | LimitReached } TurnEnded
    call    = { TextDelta | ReasoningDelta | ToolCallDelta | Retrying | Notice } MessageCompleted
    tools   = { ToolStarted | ApprovalRequested | ToolOutput | ToolFinished | Notice }

Every `MessageCompleted` repeats the complete text of its deltas. After `Retrying(discard=True)` the deltas since the
last `MessageCompleted` are void, and front ends retract them.
"""

from __future__ import annotations

import json
from typing import Literal, TypeAlias

import msgspec

from vmpilot.contract.messages import AssistantMessage, Message, ToolCall, ToolResult, Usage, UserMessage

WIRE_VERSION = 1
"""Version of the events' JSON; incremented when a reader of the old form could misread the new one."""

EndReason: TypeAlias = Literal["answered", "failed", "limit", "denied", "interrupted"]
"""Why a turn ended: with an answer; the model or backend failed permanently; a limit stopped it; it has an answer, but
the model's last action was denied; the user or the front end stopped it."""

LimitName: TypeAlias = Literal["steps", "seconds", "money", "tokens", "broken_answers", "repeated_calls"]


class TextDelta(msgspec.Struct, frozen=True, tag="text_delta", tag_field="type"):
    """The next chunk of the answer's text."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning_delta", tag_field="type"):
    """The next chunk of the model's reasoning, if the provider shows it."""

    text: str


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool_call_delta", tag_field="type", omit_defaults=True):
    """The next chunk of a tool call that the model is still writing: a sign of life, never executed.

    `position` counts the calls of the message from 0; `name` is in the first chunk.
    """

    position: int
    arguments: str = ""
    name: str = ""


class MessageCompleted(msgspec.Struct, frozen=True, tag="message_completed", tag_field="type", omit_defaults=True):
    """One model call is complete. `usage` is None if the provider did not report it.

    `model` is the fallback model that answered, or empty if it was the turn's model; the core sets it.
    """

    message: AssistantMessage
    usage: Usage | None = None
    model: str = ""


class Retrying(msgspec.Struct, frozen=True, tag="retrying", tag_field="type"):
    """The model call failed (`why`) and is retried as attempt number `attempt` after `delay` seconds."""

    attempt: int
    delay: float
    why: str
    discard: bool


class Notice(msgspec.Struct, frozen=True, tag="notice", tag_field="type"):
    """A sentence for the user that is not part of the answer."""

    text: str


class TurnTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """Settings for the conversation's next turn unless the user changes them.

    `model` is the name that the user gave, such as `local`. `address` is its base URL without possible secrets, empty
    for the provider's default. `keyed` means that a key from VMPilot's settings was sent there.
    """

    model: str
    mode: str
    address: str = ""
    keyed: bool = False


class TurnStarted(msgspec.Struct, frozen=True, tag="turn_started", tag_field="type"):
    """A turn began; `message` is on disk. `time` is seconds since the epoch.

    A message without content is not a request: the user only asked to compact the conversation. `terms` is None in logs
    of front ends that do not store them.
    """

    conversation_id: str
    turn_id: str
    message: UserMessage
    backend: str
    model: str
    time: float
    version: int = WIRE_VERSION
    terms: TurnTerms | None = None


class ToolStarted(msgspec.Struct, frozen=True, tag="tool_started", tag_field="type", omit_defaults=True):
    """A tool starts to run; `allowed_by` is the source of the permission: a mode, a rule or the user.

    `title` describes the call for the user, in one line if possible: `$ ls -l`. `folder` is its working folder.
    """

    call: ToolCall
    title: str
    allowed_by: str
    time: float
    folder: str | None = None


class ToolOutput(msgspec.Struct, frozen=True, tag="tool_output", tag_field="type"):
    """Live output of a running tool, for the user, with secrets masked. The model gets the `ToolResult`."""

    call_id: str
    text: str


class DeniedCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A denied call: `title` and `folder` as in `ToolStarted`, `denied_by` a mode, a rule or the user."""

    call: ToolCall
    title: str
    denied_by: str
    time: float
    folder: str | None = None


class ToolFinished(msgspec.Struct, frozen=True, tag="tool_finished", tag_field="type", omit_defaults=True):
    """A tool call has its result. A rejected or denied call has no `ToolStarted` before it.

    `folder` is the conversation's new working folder, if the call changed it. `denied` describes the call if it was
    denied. `interrupted` means that its turn was interrupted before it had a result.
    """

    result: ToolResult
    seconds: float
    exit_code: int | None = None
    folder: str | None = None
    denied: DeniedCall | None = None
    interrupted: bool = False


class ApprovalRequested(msgspec.Struct, frozen=True, tag="approval_requested", tag_field="type", omit_defaults=True):
    """The user is asked whether this call may run; `why` is the reason for asking.

    `always` are rules that would allow it from now on, as written in the configuration. `digest` is the SHA-256 of the
    call and its effect.
    """

    call: ToolCall
    title: str
    why: str
    always: tuple[str, ...] = ()
    digest: str = ""


class HistoryImported(msgspec.Struct, frozen=True, tag="history_imported", tag_field="type"):
    """The conversation started with imported messages, such as a chat client's history."""

    messages: tuple[Message, ...]


class HistoryCompacted(msgspec.Struct, frozen=True, tag="history_compacted", tag_field="type", omit_defaults=True):
    """The conversation became too long: from here on, the model gets a shortened history; the log keeps everything.

    With a `summary`, it gets the summary, then the last request and the model's last `kept` messages since then with
    their tool results. Without a summary, it gets everything, but tool outputs before those messages are cut to about
    `output_limit` characters. The token numbers are estimates of the history before and after.
    """

    summary: str = ""
    kept: int = 0
    output_limit: int = 0
    tokens_before: int = 0
    tokens_after: int = 0

    @property
    def text(self) -> str:
        """A description for the user."""
        what = "the conversation so far was summarized" if self.summary else "old tool outputs were shortened"
        return f"{what}: {self.tokens_before:,} → {self.tokens_after:,} tokens"


class LimitReached(msgspec.Struct, frozen=True, tag="limit_reached", tag_field="type"):
    """A limit stops the turn; `text` says which limit, and how to continue."""

    limit: LimitName
    maximum: float
    text: str


class TurnEnded(msgspec.Struct, frozen=True, tag="turn_ended", tag_field="type", omit_defaults=True):
    """The turn is over: always the last event, exactly once.

    `usage` is the sum of the providers' counts for the model calls; `cost` is their price in US dollars, or None if a
    price or a count is unknown. `error` is the message for the user if `reason` is `failed`; `exit_code` is the exit
    code for a command line. `steps` counts the model calls; `seconds` is the time, excluding time spent waiting for the
    user's answers.
    """

    reason: EndReason
    time: float
    usage: Usage = Usage()
    cost: float | None = None
    error: str | None = None
    exit_code: int = 0
    steps: int = 0
    seconds: float = 0.0


BackendEvent: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | MessageCompleted | Retrying | Notice
"""An event that a backend may yield."""

Event: TypeAlias = (
    BackendEvent
    | TurnStarted
    | ToolStarted
    | ToolOutput
    | ToolFinished
    | ApprovalRequested
    | HistoryImported
    | HistoryCompacted
    | LimitReached
    | TurnEnded
)
"""An event that a front end sees."""


def encode_event(event: Event) -> str:
    """The event's JSON in one line of ASCII, `"type"` first.

    All non-ASCII characters are escaped, so NUL and lone surrogates survive every terminal, pipe and database.
    """
    return json.dumps(msgspec.to_builtins(event), separators=(",", ":"))


def decode_event(data: bytes | str) -> Event:
    """Parse an event written by `encode_event`.

    Raises `ValueError` (the base of `msgspec.ValidationError`) for anything else.
    """
    event: Event = msgspec.convert(json.loads(data), Event)
    return event
