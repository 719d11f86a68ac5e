"""A turn of the LiteLLM backend against a real server on loopback, without the core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    GenerationRequest,
    Message,
    MessageCompleted,
    ModelSettings,
    ReasoningDelta,
    Secret,
    TextDelta,
    ToolSpec,
    UserMessage,
)
from vmpilot.testing.fakes import PlainModelCalls, ScriptedToolbox, stream_turn
from vmpilot_backend_litellm import agent
from vmpilot_backend_litellm.library import import_litellm

KEY = "sk-test-0123456789abcdef"
SHELL = ToolSpec(
    "shell",
    "Run a command.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)


def pytest_configure(config: pytest.Config) -> None:
    # LiteLLM's import warns about its own dependencies.
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning:litellm")
    config.addinivalue_line("filterwarnings", "ignore::pydantic.warnings.PydanticDeprecatedSince20")


@pytest.fixture(scope="session", autouse=True)
def litellm() -> Any:
    """LiteLLM, imported once and as the backend does it."""
    return import_litellm()


@dataclass
class Turn:
    """The result of a turn."""

    events: list[BackendEvent]
    toolbox: ScriptedToolbox
    text: str = field(init=False)
    reasoning: str = field(init=False)

    def __post_init__(self) -> None:
        self.text = "".join(event.text for event in self.events if isinstance(event, TextDelta))
        self.reasoning = "".join(event.text for event in self.events if isinstance(event, ReasoningDelta))

    @property
    def completed(self) -> list[MessageCompleted]:
        return [event for event in self.events if isinstance(event, MessageCompleted)]

    @property
    def answer(self) -> AssistantMessage:
        return self.completed[-1].message


class TurnRunner:
    """Runs turns of the backend."""

    def request(
        self,
        base_url: str | None,
        *,
        model: str = "scripted",
        messages: Sequence[Message] = (UserMessage.from_text("hello"),),
        tools: Sequence[ToolSpec] = (SHELL,),
        **settings: Any,
    ) -> GenerationRequest:
        """A request to the server at `base_url`."""
        return GenerationRequest(
            conversation_id="c",
            turn_id="t",
            messages=tuple(messages),
            system="Be brief.",
            model=model,
            settings=ModelSettings(base_url=base_url, **{"api_key": Secret(KEY), **settings}),
            tools=tuple(tools),
        )

    async def __call__(self, base_url: str | None, *, toolbox: ScriptedToolbox | None = None, **options: Any) -> Turn:
        """Run a turn to its end."""
        request = self.request(base_url, **options)
        toolbox = toolbox or ScriptedToolbox()
        return Turn([event async for event in self.stream(request, toolbox)], toolbox)

    def stream(self, request: GenerationRequest, toolbox: ScriptedToolbox) -> AsyncGenerator[BackendEvent, None]:
        """The events of a turn as they arrive."""
        calls = PlainModelCalls(request)
        return stream_turn(lambda _take: agent.generate_responses(request, toolbox, calls), toolbox, calls)


@pytest.fixture
def run_turn() -> TurnRunner:
    """Runs a turn against a server: `turn = await run_turn(server.base_url)`."""
    return TurnRunner()


@dataclass
class ByteServer:
    """Answers every request with the same bytes and keeps the requests' headers and bodies."""

    answer: bytes
    address: str = ""
    requests: list[bytes] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        self.requests.append(head + await reader.readexactly(size))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def serve_bytes() -> AsyncIterator[Callable[[bytes], Awaitable[ByteServer]]]:
    """Starts servers for providers with formats that the scripted server does not support."""
    async with AsyncExitStack() as stack:

        async def start(answer: bytes) -> ByteServer:
            byte_server = ByteServer(answer)
            server = await asyncio.start_server(byte_server.handle, "127.0.0.1", 0)
            await stack.enter_async_context(server)
            byte_server.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return byte_server

        yield start
