"""The chunks of one answer as dictionaries, read from what `litellm.acompletion(stream=True)` gave.

LiteLLM's own iteration is not used: it makes up a finish reason and a usage that the provider never sent, turns an
error page into an empty success and takes most of the time. Where the provider speaks OpenAI's format the bytes are
read here; elsewhere LiteLLM's class for the provider reads them and its wrapper translates chunk by chunk.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx

from vmpilot_backend_litellm.events import EventParser
from vmpilot_backend_litellm.faults import AnswerRefused, UnreadableAnswer

END: dict[str, Any] = {}
"""The chunk that stands for a stream's announced end, `[DONE]`; streams that end without it do not give it."""

_OPENAI_FORMAT = frozenset({"groq", "openrouter"})
"""Providers whose class in LiteLLM only renames what is read here by either name."""

_DRAIN_SECONDS = 0.2
_MAX_BODY = 64 * 1024 * 1024


def read_chunks(answer: Any) -> AsyncGenerator[dict[str, Any], None]:
    """The chunks of LiteLLM's answer, which is closed when they are.

    Raises `AnswerRefused` where the stream holds an error, `UnreadableAnswer` where it is no stream of chunks, and
    whatever LiteLLM and httpx raise.
    """
    response = _find_openai_response(answer)
    return _read_litellm(answer) if response is None else _read_openai(response)


def _find_openai_response(answer: Any) -> httpx.Response | None:
    """The HTTP response behind LiteLLM's stream where its body is known to be OpenAI's format."""
    import openai
    from litellm.llms.openai.chat.gpt_transformation import OpenAIChatCompletionStreamingHandler

    stream = answer.completion_stream
    if isinstance(stream, openai.AsyncStream):
        return stream.response
    # Classes derived from this one mend what their provider does differently.
    if type(stream) is OpenAIChatCompletionStreamingHandler or answer.custom_llm_provider in _OPENAI_FORMAT:
        response: httpx.Response | None = stream.http_response
        return response
    return None


async def _read_openai(response: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    try:
        body = response.aiter_bytes()
        first = await anext(body, b"")
        while first and not first.strip(b"\xef\xbb\xbf\r\n\t "):
            first = await anext(body, b"")
        if first.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith((b"{", b"<")):
            yield await _read_whole(first, body)
            yield END
            return
        async with aclosing(_read_events(first, body)) as chunks:
            async for chunk in chunks:
                yield chunk
    finally:
        await response.aclose()


async def _read_events(first: bytes, body: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, Any], None]:
    parser = EventParser()
    received = first
    while received:
        for data in parser.feed(received):
            if data.strip() == b"[DONE]":
                await _drain(body)
                yield END
                return
            yield _read_chunk(data)
        received = await anext(body, b"")
    for data in parser.finish():
        if data.strip() == b"[DONE]":
            yield END
        elif data.rstrip().endswith(b"}"):  # else the stream was cut within the event
            yield _read_chunk(data)


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read to the end of the response, so that its connection can serve the next call; some servers leave it open."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in body:
                pass
    except (TimeoutError, httpx.TransportError):
        return


def _read_chunk(data: bytes) -> dict[str, Any]:
    try:
        chunk = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswer(data) from error
    if not isinstance(chunk, dict):
        raise UnreadableAnswer(data)
    _raise_error_in(chunk)
    return chunk


async def _read_whole(first: bytes, body: AsyncIterator[bytes]) -> dict[str, Any]:
    """A body that is no stream: a whole answer or an error, as a chunk."""
    received = bytearray(first)
    async for piece in body:
        received += piece
        if len(received) > _MAX_BODY:
            raise UnreadableAnswer(bytes(received[:1000]))
    chunk = _read_chunk(bytes(received).removeprefix(b"\xef\xbb\xbf"))
    if not chunk.get("choices"):
        raise UnreadableAnswer(bytes(received))
    for position, call in enumerate((chunk["choices"][0].get("message") or {}).get("tool_calls") or ()):
        call.setdefault("index", position)
    return chunk


def _raise_error_in(chunk: dict[str, Any]) -> None:
    """Raise for the ways in which servers put an error where a chunk should be."""
    if chunk.get("error"):
        raise AnswerRefused(chunk["error"])
    if chunk.get("object") == "error":
        raise AnswerRefused(chunk)


async def _read_litellm(answer: Any) -> AsyncGenerator[dict[str, Any], None]:
    try:
        stream = await answer.fetch_stream()
        end = _GeminiEnd(stream) if _is_gemini(stream) else None
        async with aclosing(_translate(answer, stream)) as chunks:
            async for chunk in chunks:
                yield _dump_chunk(chunk)
        reason = answer.received_finish_reason
        if end is not None:
            reason = (reason or answer.intermittent_finish_reason) if end.is_told else None
        if reason:
            from litellm.litellm_core_utils.core_helpers import map_finish_reason

            yield {"choices": [{"finish_reason": map_finish_reason(reason)}]}
            yield END
    finally:
        await answer.aclose()


async def _translate(answer: Any, stream: Any) -> AsyncGenerator[Any, None]:
    if not isinstance(stream, AsyncIterable):  # LiteLLM reads it in a thread
        async for chunk in answer:
            yield chunk
        return
    async for raw in stream:
        if raw is None or _is_end_marker(raw):
            continue
        try:
            chunk = answer.chunk_creator(chunk=raw)
        except StopIteration:
            return
        if chunk is not None:
            yield chunk


def _is_gemini(stream: Any) -> bool:
    from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import ModelResponseIterator

    return isinstance(stream, ModelResponseIterator)


class _GeminiEnd:
    """Watches for the end of Gemini's answer, because LiteLLM says of each of its chunks that it is the last."""

    def __init__(self, stream: Any) -> None:
        self.is_told = False
        stream.streaming_response = self._watch(stream.streaming_response)

    async def _watch(self, lines: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
        async with aclosing(lines):
            async for line in lines:
                self.is_told = self.is_told or '"finishReason"' in line
                yield line


def _is_end_marker(raw: object) -> bool:
    """What LiteLLM makes of `[DONE]`: a chunk that claims a finish reason which the provider did not send."""
    if not isinstance(raw, dict) or raw.get("finish_reason") != "stop":
        return False
    return not (raw.get("text") or raw.get("tool_use") or raw.get("usage") or raw.get("provider_specific_fields"))


def _dump_chunk(chunk: Any) -> dict[str, Any]:
    dictionary: dict[str, Any] = chunk.model_dump(exclude_none=True)
    for choice in dictionary.get("choices") or ():
        choice.pop("finish_reason", None)  # LiteLLM's word; the provider's is asked for at the end
    return dictionary
