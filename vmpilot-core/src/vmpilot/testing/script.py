"""The scripted server's answers: frozen values, one for each request, in order.

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
"""How a text is split for a stream: into this many chunks, into these chunks, or (None) after each run of spaces."""

Point: TypeAlias = int | Literal["request", "headers"]
"""How far an answer gets: the request is read, the headers are sent, or this many events of the stream are sent."""

_WORD = re.compile(r"\s*\S+\s*|\s+")


def split_text(text: str, chunks: Chunks = None) -> tuple[str, ...]:
    """The chunks in which `text` is streamed; joined, they equal `text` unless `chunks` specifies otherwise."""
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

    `arguments` is dumped as JSON when it is a dict; a string is sent unchanged, even if it is invalid. Without `id`,
    each answer generates a new one; without `index`, the position is used. None leaves the member out of the stream.
    """

    name: str | None
    arguments: dict[str, Any] | str = ""
    id: str | UnsetType | None = UNSET
    index: int | UnsetType | None = UNSET
    chunks: Chunks = None

    @property
    def argument_text(self) -> str:
        """The argument string as sent over the wire."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False)


class Framing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the events of a stream are encoded as bytes; the defaults match OpenAI.

    `packet_bytes` splits the stream into HTTP chunks of this many bytes, even within a character; `one_blob` sends it
    as a single HTTP chunk. `finish=False` sends no finish reason, `done=False` leaves out `[DONE]`, `truncate_at` ends
    the stream after this many bytes, but properly at the HTTP level. The byte order mark, `packet_bytes` and
    `truncate_at` also apply to non-streamed answers.
    """

    line_end: Literal["\n", "\r\n", "\r"] = "\n"
    byte_order_mark: bool = False
    packet_bytes: int | None = None
    one_blob: bool = False
    finish: bool = True
    done: bool = True
    truncate_at: int | None = None


class Reply(msgspec.Struct, frozen=True, tag="reply", tag_field="type", forbid_unknown_fields=True):
    """An answer of the model, streamed or not as the request asks.

    `finish` is derived when None: `tool_calls` if there are calls, else `stop`. `chunks` specifies how `text` is split;
    if it is a tuple, `text` may be left out. `delay` is the wait in seconds before the first content (in a stream, the
    headers and the role are sent first), `gap` the wait before each later event. `usage=None` sends no usage;
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
            raise ValueError("a Reply's joined chunks are not its text; pass only one of the two")

    @property
    def whole_text(self) -> str:
        """The text of a non-streamed answer."""
        return "".join(self.chunks) if isinstance(self.chunks, tuple) else self.text

    @property
    def finish_reason(self) -> str | None:
        """The final `finish_reason`; None if the framing omits it."""
        if not self.framing.finish:
            return None
        return self.finish or ("tool_calls" if self.tool_calls else "stop")


class HttpError(msgspec.Struct, frozen=True, tag="http_error", tag_field="type", forbid_unknown_fields=True):
    """A status with OpenAI's error body, or with `body` in its place (a dict as JSON, a string unchanged).

    `kind` is the `type` member of OpenAI's error, derived from the status when None. `headers` override the defaults.
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

    A number as `after` counts the events of the stream, including the one with the role; a non-streamed answer stops
    halfway through its body instead. `reset=True` ends with a TCP reset rather than an orderly close.
    """

    after: Point = "request"
    reply: Reply = _BROKEN_OFF
    reset: bool = False


class Stall(msgspec.Struct, frozen=True, tag="stall", tag_field="type", forbid_unknown_fields=True):
    """The answer stops in the middle of `reply` and stays silent until the client disconnects or the server stops.

    `after` counts as in `Drop`. With `keep_alive_comments`, a stream continues with one comment every `interval`
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
    """A body in three parts: `opening`, `piece` repeated `times` times (None: until the client disconnects), `closing`.

    It is generated while it is sent, however long it is. `interval` is the wait in seconds after each repetition.
    """

    piece: str
    opening: str = ""
    closing: str = ""
    times: int | None = None
    interval: float = 0.0
    content_type: str = "text/event-stream; charset=utf-8"
    status: int = 200


class Wire(msgspec.Struct, frozen=True, tag="wire", tag_field="type", forbid_unknown_fields=True):
    """Exactly these bytes in place of an HTTP response, including head, body and framing; may be empty.

    Then the connection is closed, reset, or left open and silent. Before that, `drip` is sent every `interval` seconds
    until the client disconnects.
    """

    body: bytes = b""
    text: str = ""
    then: Literal["close", "reset", "stall"] = "close"
    drip: str = ""
    interval: float = 0.05

    @property
    def payload(self) -> bytes:
        """The bytes, excluding `drip`."""
        return self.body + self.text.encode()


Step: TypeAlias = Reply | HttpError | Drop | Stall | Raw | Flood | Wire
"""The answer to one request."""

StepMaker: TypeAlias = "Callable[[RecordedRequest], Step]"
"""Returns the step that answers a request; runs in the server's thread, so it must not block."""
