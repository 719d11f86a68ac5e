"""The cost of a turn with more than one model."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from vmpilot.contract import (
    AssistantMessage,
    AuthenticationFailed,
    BackendEvent,
    GenerationRequest,
    MessageCompleted,
    ModelCall,
    ModelCalls,
    ModelInfo,
    ModelSettings,
    Toolbox,
    ToolCall,
    TurnEnded,
    Usage,
)
from vmpilot.engine import Endpoint, Fallback, FallbackChain

if TYPE_CHECKING:
    from tests.core.engine.conftest import TurnRunner

PRICES = {"dear": ModelInfo(input_price=2.0, output_price=10.0)}


async def test_a_free_model_stays_free_after_a_fallback_replaced_it(runner: TurnRunner) -> None:
    script: list[BackendEvent | AuthenticationFailed] = [
        MessageCompleted(
            AssistantMessage(tool_calls=(ToolCall("a", "nothing", "{}"),), finish="tool_calls"), Usage(100, 100)
        ),
        AuthenticationFailed("no key"),
        MessageCompleted(AssistantMessage("Done."), Usage(3, 1)),
    ]

    async def stream_once(_call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        step = script.pop(0)
        if isinstance(step, AuthenticationFailed):
            raise step
        yield step

    async def generate_responses(request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
        messages = list(request.messages)
        for _ in range(2):
            answer = await model_calls.ask(stream_once, messages)
            messages += [answer, *await toolbox.call_all(answer.tool_calls)]

    async def prepare() -> Endpoint:
        return Endpoint("dear", ModelSettings())

    chain = FallbackChain(Endpoint("own", ModelSettings(), free=True), [Fallback("dear", prepare)])
    *_, end = await runner.run_turn(generate_responses, known=PRICES, chain=chain)
    assert isinstance(end, TurnEnded)
    assert (end.reason, end.usage, end.cost) == ("answered", Usage(103, 101), 3 * 2.0 + 1 * 10.0)
