"""What the scripted server answers: frozen values, one for each request, in their order.

Nothing here speaks HTTP; `vmpilot.testing.answers` turns these values into bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from vmpilot.contract.messages import Usage

if TYPE_CHECKING:
    from vmpilot.testing.recording import RecordedRequest

Chunks: TypeAlias = int | tuple[str, ...] | None
"""How a text is cut for a stream: into so many pieces, into these pieces, or (None) after each run of blanks."""

Point: TypeAlias = int | Literal["request", "headers"]
"""How far an answer comes: the request is read, the headers are sent, or so many events of the stream are sent."""

_WORD = re.compile(r"\s*\S+\s*|\s+")


def split_text(text: str, chunks: Chunks = None) -> tuple[str, ...]:
    """The pieces in which `text` is streamed; joined they are `text`, unless `chunks` says otherwise."""
    if isinstance(chunks, tuple):
        return chunks
    if chunks is None:
        return tuple(_WORD.findall(text))
    size, longer = divmod(len(text), max(chunks, 1))
    edge = longer * (size + 1)
    heads = [text[at : at + size + 1] for at in range(0, edge, size + 1)]
    tails = [text[at : at + size] for at in range(edge, len(text), size)] if size else []
    return (*heads, *tails)


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call of a reply.

    `arguments` is dumped as JSON when it is a dict; a string is sent as it is, also if it is broken. Without `id`
    every answer makes up a new one; without `index` the position is used. None leaves the member out of the stream.
    """

    name: str | None
    arguments: dict[str, Any] | str = ""
    id: str | UnsetType | None = UNSET
    index: int | UnsetType | None = UNSET
    chunks: Chunks = None

    @property
    def argument_text(self) -> str:
        """The argument string as it goes over the wire."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False)


class Framing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the events of a stream are laid into bytes; the defaults are what OpenAI sends.

    `packet_bytes` cuts the stream into HTTP chunks of so many bytes, wherever that falls; `one_blob` sends it as a
    single HTTP chunk. `finish=False` sends no finish reason, `done=False` leaves out `[DONE]`, `truncate_at`
    ends the stream, properly as far as HTTP goes, after so many bytes. The mark, the packets and the cut are those of
    an answer that is not streamed, too.
    """

    line_end: Literal["\n", "\r\n", "\r"] = "\n"
    byte_order_mark: bool = False
    packet_bytes: int | None = None
    one_blob: bool = False
    finish: bool = True
    done: bool = True
    truncate_at: int | None = None


class Reply(msgspec.Struct, frozen=True, tag="reply", tag_field="type", forbid_unknown_fields=True):
    """An answer of the model, streamed or whole as the request asks.

    `finish` is derived when None: `tool_calls` if there are calls, else `stop`. `chunks` says how `text` is cut; if
    it is a tuple, `text` may be left out. `delay` is the wait in seconds before the first content (in a stream the
    headers and the role come before it), `gap` the wait before each later event. `usage=None` sends no usage;
    `model=None` repeats the name from the request.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ScriptedCall, ...] = ()
    usage: Usage | None = Usage(input_tokens=100, output_tokens=20)
    finish: str | None = None
    chunks: Chunks = None
    delay: float = 0.0
    gap: float = 0.0
    model: str | None = None
    refusal: str = ""
    framing: Framing = Framing()

    def __post_init__(self) -> None:
        if isinstance(self.chunks, tuple) and self.text and "".join(self.chunks) != self.text:
            raise ValueError("a Reply's chunks, joined, are not its text; give only one of the two")

    @property
    def whole_text(self) -> str:
        """The text as an answer without streaming has it."""
        return "".join(self.chunks) if isinstance(self.chunks, tuple) else self.text

    @property
    def finish_reason(self) -> str | None:
        """What `finish_reason` says at the end; None if the framing keeps it back."""
        if not self.framing.finish:
            return None
        return self.finish or ("tool_calls" if self.tool_calls else "stop")


class HttpError(msgspec.Struct, frozen=True, tag="http_error", tag_field="type", forbid_unknown_fields=True):
    """A status with OpenAI's error body, or with `body` in its place (a dict as JSON, a string as it is).

    `kind` is the `type` member of OpenAI's error, derived from the status when None. `headers` win over ours.
    """

    status: int
    message: str = ""
    code: str | None = None
    kind: str | None = None
    body: dict[str, Any] | str | None = None
    headers: dict[str, str] = {}


_BROKEN_OFF = Reply("This answer was going to be longer.")


class Drop(msgspec.Struct, frozen=True, tag="drop", tag_field="type", forbid_unknown_fields=True):
    """The connection ends in the middle of `reply`.

    A number as `after` counts the events of the stream, the role's being the first; an answer that is not streamed
    stops half-way through its body instead. `reset=True` ends with a TCP reset rather than an orderly close.
    """

    after: Point = "request"
    reply: Reply = _BROKEN_OFF
    reset: bool = False


class Stall(msgspec.Struct, frozen=True, tag="stall", tag_field="type", forbid_unknown_fields=True):
    """The answer stops in the middle of `reply` and stays silent until the client goes away or the server stops.

    `after` counts as in `Drop`. With `keep_alive_comments` a stream goes on with comments, one every `interval`
    seconds, so that only the content is missing.
    """

    after: Point = "headers"
    reply: Reply = _BROKEN_OFF
    keep_alive_comments: bool = False
    interval: float = 0.05


class Raw(msgspec.Struct, frozen=True, tag="raw", tag_field="type", forbid_unknown_fields=True):
    """Exactly these bytes as the body of an answer; in a script file `text` is easier to write than `body` (base64)."""

    body: bytes = b""
    text: str = ""
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = {}

    @property
    def payload(self) -> bytes:
        """The bytes of the body."""
        return self.body + self.text.encode()


class Flood(msgspec.Struct, frozen=True, tag="flood", tag_field="type", forbid_unknown_fields=True):
    """A body in three parts: `opening`, `piece` so many `times` (None: until the client goes away), `closing`.

    It is made while it is sent, however long it is. `interval` is the wait in seconds behind each piece.
    """

    piece: str
    opening: str = ""
    closing: str = ""
    times: int | None = None
    interval: float = 0.0
    content_type: str = "text/event-stream; charset=utf-8"
    status: int = 200


class Wire(msgspec.Struct, frozen=True, tag="wire", tag_field="type", forbid_unknown_fields=True):
    """Exactly these bytes in place of an HTTP response: head, body and framing are what they say, or nothing at all.

    Then the connection is closed, or reset, or stays open and silent; `drip` is sent before that again and again, one
    every `interval` seconds, until the client goes away.
    """

    body: bytes = b""
    text: str = ""
    then: Literal["close", "reset", "stall"] = "close"
    drip: str = ""
    interval: float = 0.05

    @property
    def payload(self) -> bytes:
        """The bytes, without those of `drip`."""
        return self.body + self.text.encode()


Step: TypeAlias = Reply | HttpError | Drop | Stall | Raw | Flood | Wire
"""The answer to one request."""

StepMaker: TypeAlias = "Callable[[RecordedRequest], Step]"
"""Looks at a request and says how to answer it; runs in the server's thread, so it must not block."""
