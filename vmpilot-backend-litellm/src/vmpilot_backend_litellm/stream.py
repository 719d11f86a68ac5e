"""One call to the model, as the core's supervision asks for it: the backend's `stream_once`. No retries, no loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import ModuleType

from vmpilot.contract import BackendEvent, ModelCall
from vmpilot.providers import find_target, translated_errors
from vmpilot_backend_litellm.arguments import KEY_VARIABLES, answers_in_openai_format, make_arguments
from vmpilot_backend_litellm.connections import Connections
from vmpilot_backend_litellm.library import import_litellm
from vmpilot_backend_litellm.sources import read_answer


class ModelClient:
    """Makes the calls of one turn; an async context manager that closes the turn's connections."""

    def __init__(self, litellm: ModuleType) -> None:
        self._litellm = litellm
        self._connections = Connections(litellm)

    @classmethod
    async def open(cls) -> ModelClient:
        """Import LiteLLM, in a thread because it takes seconds, and make a client."""
        return cls(await asyncio.to_thread(import_litellm))

    async def __aenter__(self) -> ModelClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._connections.__aexit__(*exc_info)

    async def stream_once(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        """The contract's `StreamOnce`."""
        target = find_target(call, key_variables=KEY_VARIABLES)
        target.check_key()
        with translated_errors(target):
            arguments = make_arguments(call, target.name, litellm=self._litellm)
            # Of an answer in one piece LiteLLM makes up what is missing, too.
            keep = not arguments.get("stream") and answers_in_openai_format(call, target.name, litellm=self._litellm)
            client = self._connections.client_for(target.name, call, keep=keep)
            answer = await self._litellm.acompletion(**arguments, client=client)
        with translated_errors(target, answering=True):
            async with aclosing(read_answer(self._connections.take_kept() or answer, target)) as events:
                async for event in events:
                    yield event
