"""Broken: a foreign exception escapes in the middle of a turn."""

from collections.abc import AsyncIterator

from vmpilot.contract import hookimpl


class EngineError(Exception):
    """An exception unknown to the core."""


@hookimpl
async def generate_responses() -> AsyncIterator[str]:
    yield "half of "
    raise EngineError("the engine lost a wheel")
