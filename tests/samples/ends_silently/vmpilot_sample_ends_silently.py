"""Broken: it ends the turn without a message."""

from collections.abc import AsyncIterator

from vmpilot.contract import Notice, hookimpl


@hookimpl
async def generate_responses() -> AsyncIterator[Notice]:
    yield Notice("thinking")
