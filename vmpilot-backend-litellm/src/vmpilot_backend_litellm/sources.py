"""The events of one answer, read from the result of `litellm.acompletion`, or from the response withheld from it.

LiteLLM's own iteration is not used: it invents a finish reason and a usage that the provider never sent, turns an error
page into an empty success, and takes most of the time. If the provider uses OpenAI's format, its bytes are read;
otherwise LiteLLM's class for the provider reads them and its wrapper translates each chunk.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import aclosing
from typing import Any

import httpx

from vmpilot.contract import BackendEvent
from vmpilot.providers import CompletionReader, ModelTarget, read_completion
from vmpilot_backend_litellm.providers import find_route


async def read_answer(answer: Any, target: ModelTarget) -> AsyncGenerator[BackendEvent, None]:
    """The events of LiteLLM's answer, or of an HTTP response, which is closed with them.

    Raises the contract's errors for an invalid answer, and whatever LiteLLM and httpx raise.
    """
    from litellm import ModelResponse

    if isinstance(answer, ModelResponse):
        for event in _read_whole(answer, target):
            yield event
        return
    response = answer if isinstance(answer, httpx.Response) else _find_openai_response(answer)
    events = _read_translated(answer, target) if response is None else read_completion(response.aiter_bytes(), target)
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    finally:
        await (answer if response is None else response).aclose()


def _read_whole(answer: Any, target: ModelTarget) -> Iterator[BackendEvent]:
    """The events of an answer in one piece, as read by LiteLLM's class for the provider."""
    reader = CompletionReader(target)
    chunk = answer.model_dump(exclude_none=True)
    if not (chunk.get("usage") or {}).get("total_tokens"):
        chunk.pop("usage", None)  # invented: the provider sent none
    yield from reader.read(chunk)
    yield reader.complete(end_is_told=True)


async def _read_translated(answer: Any, target: ModelTarget) -> AsyncGenerator[BackendEvent, None]:
    reader = CompletionReader(target)
    async with aclosing(_read_litellm(answer)) as chunks:
        async for chunk in chunks:
            for event in reader.read(chunk):
                yield event
    yield reader.complete()


def _find_openai_response(answer: Any) -> httpx.Response | None:
    """The HTTP response behind LiteLLM's stream, if its body is known to be in OpenAI's format."""
    import openai
    from litellm.llms.openai.chat.gpt_transformation import OpenAIChatCompletionStreamingHandler

    stream = answer.completion_stream
    if isinstance(stream, openai.AsyncStream):
        return stream.response
    # Derived classes fix the differences of their provider.
    if type(stream) is OpenAIChatCompletionStreamingHandler or find_route(answer.custom_llm_provider).renames_only:
        response: httpx.Response | None = stream.http_response
        return response
    return None


async def _read_litellm(answer: Any) -> AsyncGenerator[dict[str, Any], None]:
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
    """Detects the end of Gemini's answer, because LiteLLM marks each of its chunks as the last one."""

    def __init__(self, stream: Any) -> None:
        self.is_told = False
        stream.streaming_response = self._watch(stream.streaming_response)

    async def _watch(self, lines: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
        async with aclosing(lines):
            async for line in lines:
                self.is_told = self.is_told or '"finishReason"' in line
                yield line


def _is_end_marker(raw: object) -> bool:
    """LiteLLM's translation of `[DONE]`: a chunk with a finish reason that the provider did not send."""
    if not isinstance(raw, dict) or raw.get("finish_reason") != "stop":
        return False
    return not (raw.get("text") or raw.get("tool_use") or raw.get("usage") or raw.get("provider_specific_fields"))


def _dump_chunk(chunk: Any) -> dict[str, Any]:
    dictionary: dict[str, Any] = chunk.model_dump(exclude_none=True)
    for choice in dictionary.get("choices") or ():
        choice.pop("finish_reason", None)  # LiteLLM's value; the provider's own is required at the end
    return dictionary
