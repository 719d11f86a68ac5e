"""Scripted values as OpenAI's JSON and server-sent events.

The formats are those of OpenAI's API reference, "Chat completions" and "Streaming"; `reasoning_content` is what
DeepSeek, vLLM and llama.cpp add to them.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from vmpilot.contract.messages import Usage
from vmpilot.testing.script import HttpError, Reply, ScriptedCall, split_text

_UTF8_MARK = b"\xef\xbb\xbf"


def dump_json(value: object) -> bytes:
    """Compact JSON in UTF-8; lone surrogates, which UTF-8 cannot encode, make it fall back to ASCII escapes."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Token counts under OpenAI's names."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def make_error(status: int, message: str, *, kind: str | None = None, code: str | None = None) -> dict[str, Any]:
    """OpenAI's error body."""
    return {"error": {"message": message, "type": kind or _kind_of(status), "param": None, "code": code}}


def _kind_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def encode_error(error: HttpError) -> tuple[str, bytes]:
    """Content type and body of a scripted error."""
    if isinstance(error.body, str):
        return "text/plain; charset=utf-8", error.body.encode()
    message = error.message or f"The script answers with status {error.status}."
    body = error.body if error.body is not None else make_error(error.status, message, kind=error.kind, code=error.code)
    return "application/json", dump_json(body)


def encode_completion(reply: Reply, model: str) -> bytes:
    """The JSON body of a non-streamed answer."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.whole_text if reply.whole_text or not reply.tool_calls else None,
        "refusal": reply.refusal or None,
    }
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [_encode_call(call) for call in reply.tool_calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    body = {**_envelope("chat.completion", reply.model or model), "choices": [choice]}
    if reply.usage is not None:
        body["usage"] = encode_usage(reply.usage)
    mark = _UTF8_MARK if reply.framing.byte_order_mark else b""
    return (mark + dump_json(body))[: reply.framing.truncate_at]


def stream_events(reply: Reply, model: str, *, include_usage: bool) -> list[bytes]:
    """The events of a streamed answer in order, framed as the reply specifies; the first carries the role."""
    framing = reply.framing
    end = framing.line_end.encode() * 2
    datas = _stream_datas(reply, model, include_usage=include_usage)
    events = [b"data: %b%b" % (data, end) for data in datas]
    if framing.done:
        events.append(b"data: [DONE]" + end)
    if framing.byte_order_mark:
        events[0] = _UTF8_MARK + events[0]
    return events


def frame_events(reply: Reply, events: list[bytes]) -> list[bytes]:
    """`events` split as they are sent, one HTTP chunk each."""
    framing = reply.framing
    if not (framing.one_blob or framing.packet_bytes or framing.truncate_at is not None):
        return events
    blob = b"".join(events)[: framing.truncate_at]
    size = framing.packet_bytes or len(blob) or 1
    return [blob[at : at + size] for at in range(0, len(blob), size)]


def _stream_datas(reply: Reply, model: str, *, include_usage: bool) -> list[bytes]:
    envelope = _envelope("chat.completion.chunk", reply.model or model)
    usage_member = b',"usage":null' if include_usage else b""
    head = dump_json(envelope)[:-1] + b',"choices":[{"index":0,"delta":'
    tail = b',"logprobs":null,"finish_reason":null}]' + usage_member + b"}"
    datas = [head + delta + tail for delta in _encode_deltas(reply)]
    if reply.finish_reason is not None:
        ending = b',"logprobs":null,"finish_reason":%b}]%b}' % (dump_json(reply.finish_reason), usage_member)
        datas.append(head + b"{}" + ending)
    if include_usage and reply.usage is not None:
        datas.append(dump_json({**envelope, "choices": [], "usage": encode_usage(reply.usage)}))
    return datas


def _encode_deltas(reply: Reply) -> Iterator[bytes]:
    yield dump_json({"role": "assistant", "content": None if reply.tool_calls and not reply.whole_text else ""})
    for piece in split_text(reply.reasoning):
        yield b'{"reasoning_content":%b}' % dump_json(piece)
    for piece in split_text(reply.text, reply.chunks):
        yield b'{"content":%b}' % dump_json(piece)
    for piece in split_text(reply.refusal):
        yield b'{"refusal":%b}' % dump_json(piece)
    for position, call in enumerate(reply.tool_calls):
        yield from _encode_call_deltas(call, position)


def _encode_call_deltas(call: ScriptedCall, position: int) -> Iterator[bytes]:
    index = position if call.index is msgspec.UNSET else call.index
    place = {} if index is None else {"index": index}
    opening = {**place, **_encode_call(call)}
    opening["function"] = {**opening["function"], "arguments": ""}
    yield dump_json({"tool_calls": [opening]})
    for piece in split_text(call.argument_text, call.chunks):
        yield dump_json({"tool_calls": [{**place, "function": {"arguments": piece}}]})


def _encode_call(call: ScriptedCall) -> dict[str, Any]:
    call_id = f"call_{uuid.uuid4().hex[:24]}" if call.id is msgspec.UNSET else call.id
    identity = {} if call_id is None else {"id": call_id}
    name = {} if call.name is None else {"name": call.name}
    return {**identity, "type": "function", "function": {**name, "arguments": call.argument_text}}


def _envelope(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": "fp_scripted",
    }


def encode_models(models: tuple[str, ...]) -> bytes:
    """The body of `GET /v1/models`."""
    entries = [{"id": name, "object": "model", "created": 0, "owned_by": "vmpilot"} for name in models]
    return dump_json({"object": "list", "data": entries})


def wants_stream(body: Mapping[str, Any]) -> bool:
    """Whether a chat request asks for a stream."""
    return body.get("stream") is True


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether a chat request asks for the usage at the end of its stream."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
