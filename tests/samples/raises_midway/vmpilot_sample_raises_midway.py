"""Broken: a foreign exception escapes in the middle of a turn."""

from collections.abc import AsyncIterator

from vmpilot.contract import hookimpl


class EngineError(Exception):
    """An exception that the core has never heard of."""


@hookimpl
async def generate_responses() -> AsyncIterator[str]:
    yield "half of "
    raise EngineError("the engine lost a wheel")
