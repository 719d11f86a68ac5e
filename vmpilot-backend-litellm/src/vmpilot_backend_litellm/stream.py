"""One call to the model: a chunk comes in, deltas go out, one `MessageCompleted` ends it. No retries, no loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import ModuleType

import httpx

from vmpilot.contract import BackendEvent, BadResponse, ModelCall, StreamInterrupted
from vmpilot_backend_litellm.answer import AnswerReader
from vmpilot_backend_litellm.arguments import make_arguments, name_model
from vmpilot_backend_litellm.connections import Connections
from vmpilot_backend_litellm.errors import translated_errors
from vmpilot_backend_litellm.library import import_litellm
from vmpilot_backend_litellm.refusals import name_target
from vmpilot_backend_litellm.sources import END, read_chunks


class ModelClient:
    """Makes the calls of one turn; an async context manager that closes the turn's connections."""

    def __init__(self, litellm: ModuleType) -> None:
        self._litellm = litellm
        self._connections = Connections(litellm)

    @classmethod
    async def open(cls) -> ModelClient:
        """Import LiteLLM, in a thread where that takes seconds, and make a client."""
        return cls(await asyncio.to_thread(import_litellm))

    async def __aenter__(self) -> ModelClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._connections.__aexit__(*exc_info)

    async def stream_once(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        """The contract's `StreamOnce`."""
        model = name_model(call)
        reader = AnswerReader(model.provider)
        with translated_errors(call, model):
            arguments = make_arguments(call, model, litellm=self._litellm)
            client = self._connections.client_for(model, call)
            answer = await self._litellm.acompletion(**arguments, client=client)
            chunk = END
            try:
                async with aclosing(read_chunks(answer)) as chunks:
                    async for chunk in chunks:
                        for event in reader.read(chunk):
                            yield event
            except httpx.TransportError:
                if reader.finish_reason is None:
                    raise  # after it only the usage can be missing
            if not reader.has_begun:
                raise BadResponse(f"{name_target(call, model)} sent an empty answer; try again")
            if reader.finish_reason is None and chunk is not END:
                raise StreamInterrupted(f"{name_target(call, model)} stopped in the middle of its answer; try again")
        yield reader.complete()
