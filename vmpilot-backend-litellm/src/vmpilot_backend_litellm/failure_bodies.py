"""The bodies of responses that are failures: so much of one is read and no more, however long it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

LONGEST = 16 * 1024
"""Bytes; what matters stands at the beginning, and what searches a longer one takes seconds for it."""


async def bound_failure(response: httpx.Response) -> None:
    """A hook of an HTTP client, for its responses."""
    if not response.is_success and isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _Beginning(response.stream)


class _Beginning(httpx.AsyncByteStream):
    def __init__(self, whole: httpx.AsyncByteStream) -> None:
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = LONGEST
        async for piece in self._whole:
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return

    async def aclose(self) -> None:
        await self._whole.aclose()
