"""One call to the model under the core's supervision: the backend's `stream_once`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from langchain_core.language_models import BaseChatModel
from langchain_openai.chat_models.base import BaseChatOpenAI

from vmpilot.contract import BackendEvent, ModelCall
from vmpilot.providers import ModelTarget, find_target, translated_errors
from vmpilot_backend_langchain.chat_completions import stream_chat_completion
from vmpilot_backend_langchain.chat_model import stream_chat_model
from vmpilot_backend_langchain.models import ChatModels
from vmpilot_backend_langchain.providers import KEY_VARIABLES


class ModelStream:
    """The model calls of one turn; `close` closes their connections."""

    def __init__(self) -> None:
        self._models = ChatModels()

    async def stream_once(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        """Yield deltas as they arrive, then one `MessageCompleted`. Raises only the contract's `ModelError`s."""
        target = find_target(call, key_variables=KEY_VARIABLES)
        with translated_errors(target):
            model = self._models.open_model(call, target)
            async with aclosing(_stream(model, call, target)) as events:
                async for event in events:
                    yield event

    async def close(self) -> None:
        """Close all connections."""
        await self._models.close()


def _stream(model: BaseChatModel, call: ModelCall, target: ModelTarget) -> AsyncGenerator[BackendEvent, None]:
    if isinstance(model, BaseChatOpenAI):
        return stream_chat_completion(model, call, target)
    return stream_chat_model(model, call, target)
