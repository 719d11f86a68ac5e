from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from vmpilot.contract import (
    AssistantMessage,
    AuthenticationFailed,
    BackendEvent,
    BadResponse,
    ContentFiltered,
    ContextOverflow,
    GenerationRequest,
    IdForm,
    InvalidRequest,
    MessageCompleted,
    MessagesRefused,
    ModelCall,
    ModelError,
    ModelSettings,
    ModelTimeout,
    Notice,
    ParameterRefused,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    ReasoningDelta,
    RefusedMessages,
    Retrying,
    RetryPolicy,
    StreamInterrupted,
    StreamOnce,
    TextDelta,
    TimeLimits,
    ToolCall,
    ToolCallDelta,
    ToolSpec,
    ToolsUnsupported,
    UserMessage,
)
from vmpilot.engine.calls import Emitter, Endpoint, Fallback, FallbackChain, ToolMode
from vmpilot.engine.calls.model_calls import SupervisedModelCalls
from vmpilot.engine.limits import Limits, LimitStop

FINE = MessageCompleted(AssistantMessage("Fine."))
ONCE = RetryPolicy(attempts=1)

Script = list[BackendEvent | BaseException | float]


class Stream:
    """A `StreamOnce` that plays one script per call: events, errors, and seconds of silence."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.calls: list[ModelCall] = []
        self.closed = 0
        self.begun = asyncio.Event()

    async def __call__(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        self.calls.append(call)
        try:
            for item in self.scripts.pop(0):
                match item:
                    case float():
                        await asyncio.sleep(item)
                    case BaseException():
                        raise item
                    case event:
                        yield event
                        self.begun.set()
        finally:
            self.closed += 1


class Calls(SupervisedModelCalls):
    """Model calls whose events, including complete messages, are in `events`."""

    def __init__(self, request: GenerationRequest, **options: Any) -> None:
        self.events: list[BackendEvent] = []
        super().__init__(request, emit=Emitter(self.events.append), record=self._keep, **options)

    async def _keep(self, completed: MessageCompleted) -> AssistantMessage:
        self.events.append(completed)
        self._emit.clear()
        return completed.message


def supervise(
    *,
    retry: RetryPolicy = ONCE,
    chain: FallbackChain | None = None,
    tools: tuple[ToolSpec, ...] = (),
    limits: TimeLimits = TimeLimits(),  # noqa: B008  it is frozen
) -> Calls:
    settings = ModelSettings(time_limits=limits)
    history = (UserMessage.from_text("1"), AssistantMessage(tool_calls=(ToolCall("old", "shell", "{}"),)))
    request = GenerationRequest("c", "t", history, "Be brief.", "m", settings, tools, retry)
    return Calls(request, limits=Limits(max_steps=5), chain=chain)


def line_up(*fallbacks: Fallback, tool_mode: ToolMode = "auto") -> FallbackChain:
    return FallbackChain(Endpoint("m", ModelSettings(temperature=0.5)), fallbacks, tool_mode=tool_mode)


def fallback(model: str, error: ModelError | None = None) -> Fallback:
    """A model that can be prepared, or fails with the error."""

    async def prepare() -> Endpoint:
        if error is not None:
            raise error
        return Endpoint(f"openai/{model}", ModelSettings(seed=7))

    return Fallback(model, prepare)


async def run_turn(
    stream_once: StreamOnce, calls: Calls | None = None, messages: tuple[Any, ...] = ()
) -> list[BackendEvent]:
    calls = calls or supervise()
    begun = len(calls.events)
    async with asyncio.timeout(10):
        await calls.ask(stream_once, messages)
    return calls.events[begun:]


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are as short as possible; the events show what was waited for."""
    monkeypatch.setattr("vmpilot.engine.calls._backoff.random.uniform", lambda low, _high: low / 50)


async def test_events_pass_and_the_call_follows_the_request() -> None:
    stream = Stream([ReasoningDelta("Hm."), TextDelta("Fine."), FINE])
    message = UserMessage.from_text("a\0b")
    assert await run_turn(stream, messages=(message,)) == [ReasoningDelta("Hm."), TextDelta("Fine."), FINE]
    (call,) = stream.calls
    assert (call.model, call.system, call.messages) == ("m", "Be brief.", (UserMessage.from_text("a\ufffdb"),))
    assert stream.closed == 1


@pytest.mark.parametrize(
    ("script", "error", "told"),
    [
        pytest.param([], BadResponse, "without a message", id="nothing"),
        pytest.param([TextDelta("x")], BadResponse, "without a message", id="no end"),
        pytest.param([MessageCompleted(AssistantMessage(" "))], BadResponse, "empty answer", id="blank"),
        pytest.param([MessageCompleted(AssistantMessage("", "Hm."))], BadResponse, "only reasoning", id="reasoning"),
        pytest.param(
            [MessageCompleted(AssistantMessage("I will", finish="tool_calls"))], BadResponse, "sent none", id="no calls"
        ),
        pytest.param(
            [MessageCompleted(AssistantMessage("x", finish="cut"))], StreamInterrupted, "was cut off", id="cut"
        ),
    ],
)
async def test_a_call_without_a_valid_answer_is_an_error(script: Script, error: type[ModelError], told: str) -> None:
    stream = Stream(script)
    with pytest.raises(error, match=told):
        await run_turn(stream)
    assert stream.closed == 1


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal"])
async def test_a_finish_reason_of_the_provider_ends_the_call(finish: Any) -> None:
    completed = MessageCompleted(AssistantMessage("", finish=finish))
    assert await run_turn(Stream([completed])) == [completed]


async def test_nothing_after_the_message_is_waited_for() -> None:
    stream = Stream([FINE, 60.0])
    assert await run_turn(stream) == [FINE]
    assert stream.closed == 1


@pytest.mark.parametrize(
    ("script", "limits", "told"),
    [
        pytest.param([60.0], {"first_content": 0.05}, "sent nothing for 0.05 s", id="first content"),
        pytest.param([TextDelta("x"), 60.0], {"gap": 0.05}, "stopped mid-answer and sent nothing for 0.05 s", id="gap"),
        pytest.param([TextDelta("x"), 60.0], {"whole": 0.05}, "did not finish within 0.05 s", id="whole"),
        pytest.param([60.0], {"whole": 0.05}, "did not finish within 0.05 s", id="whole before the first"),
        pytest.param([TextDelta("x"), 0.03] * 50, {"gap": 0.2, "whole": 0.1}, "did not finish within 0.1 s", id="drip"),
    ],
)
async def test_silence_times_out(script: Script, limits: dict[str, float], told: str) -> None:
    stream = Stream(script)
    with pytest.raises(ModelTimeout, match=told):
        await run_turn(stream, supervise(limits=TimeLimits(**limits)))
    assert stream.closed == 1


@pytest.mark.parametrize("piece", [TextDelta("x"), ReasoningDelta("x"), ToolCallDelta(0, "x")])
async def test_every_event_restarts_the_timeout(piece: BackendEvent) -> None:
    script: Script = [item for _ in range(5) for item in (piece, 0.1)]
    events = await run_turn(Stream([*script, FINE]), supervise(limits=TimeLimits(gap=0.3, first_content=0.3)))
    assert events == [*[piece] * 5, FINE]


async def test_a_retry_is_reported_and_retracts_what_was_shown() -> None:
    broken = StreamInterrupted("broke")
    stream = Stream([broken], [TextDelta("Fi"), broken], [ToolCallDelta(0), broken], [TextDelta("Fine."), FINE])
    events = await run_turn(stream, supervise(retry=RetryPolicy(attempts=4)))
    retries = [event for event in events if isinstance(event, Retrying)]
    assert [(retry.attempt, retry.why, retry.discard) for retry in retries] == [
        (2, "broke", False),
        (3, "broke", True),
        (4, "broke", True),
    ]
    assert retries[0].delay < retries[1].delay < retries[2].delay
    assert events[-2:] == [TextDelta("Fine."), FINE]
    assert len({id(call) for call in stream.calls}) == 1


async def test_attempts_include_the_first() -> None:
    down = ProviderUnavailable("down")
    stream = Stream([down], [down], [down])
    with pytest.raises(ProviderUnavailable, match="down"):
        await run_turn(stream, supervise(retry=RetryPolicy(attempts=3)))
    assert stream.closed == 3


@pytest.mark.parametrize(
    "error", [AuthenticationFailed("wrong key"), ValueError("a bug"), LimitStop.__new__(LimitStop)]
)
async def test_an_error_that_is_not_retryable_is_raised_at_once(error: Exception) -> None:
    stream = Stream([error], [FINE])
    with pytest.raises(type(error)):
        await run_turn(stream, supervise(retry=RetryPolicy(attempts=3)))
    assert len(stream.calls) == 1


@pytest.mark.parametrize("make", [RateLimited, ProviderUnavailable])
async def test_the_retry_time_of_the_provider_is_a_minimum(make: Callable[..., ModelError]) -> None:
    stream = Stream([make("later", retry_after=0.2)], [FINE])
    started = asyncio.get_running_loop().time()
    events = await run_turn(stream, supervise(retry=RetryPolicy(attempts=2)))
    assert asyncio.get_running_loop().time() - started >= 0.2
    assert events[0] == Retrying(2, 0.2, "later", discard=False)


async def test_a_wait_beyond_the_limit_is_not_started() -> None:
    stream = Stream([RateLimited("in an hour", retry_after=3600.0)], [FINE])
    with pytest.raises(RateLimited, match="hour"):
        await run_turn(stream, supervise(retry=RetryPolicy(attempts=3)))
    assert len(stream.calls) == 1


async def test_canceling_closes_the_stream() -> None:
    stream = Stream([TextDelta("x"), 60.0])
    calls = supervise()
    asking = asyncio.create_task(calls.ask(stream, ()))
    await stream.begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert stream.closed == 1


async def test_steps_are_counted_before_the_model_is_asked() -> None:
    limits = Limits(max_steps=1)
    limits.end_step(None)
    stream = Stream([FINE])
    with pytest.raises(LimitStop):
        await run_turn(stream, Calls(GenerationRequest("c", "t", (), "", "m"), limits=limits))
    assert stream.calls == []


async def test_a_fallback_follows_the_last_attempt_and_no_text_is_repeated() -> None:
    broken = StreamInterrupted("broke")
    stream = Stream([TextDelta("Fi"), broken], [TextDelta("Fi"), broken], [TextDelta("Fine."), FINE], [FINE])
    calls = supervise(retry=RetryPolicy(attempts=2), chain=line_up(fallback("n")))
    events = await run_turn(stream, calls)
    assert events == [
        TextDelta("Fi"),
        Retrying(2, events[1].delay if isinstance(events[1], Retrying) else 0.0, "broke", discard=True),
        TextDelta("Fi"),
        Retrying(1, 0.0, "the partial answer is discarded", discard=True),
        Notice("Switching from m to n: broke"),
        TextDelta("Fine."),
        MessageCompleted(AssistantMessage("Fine."), model="openai/n"),
    ]
    assert await run_turn(stream, calls) == [MessageCompleted(AssistantMessage("Fine."), model="openai/n")]
    assert [(call.model, call.settings.seed) for call in stream.calls] == [("m", None)] * 2 + [("openai/n", 7)] * 2


@pytest.mark.parametrize(
    "error", [AuthenticationFailed("x"), QuotaExhausted("x"), RateLimited("x", retry_after=3600.0), ModelError("x")]
)
async def test_a_permanent_error_goes_to_a_fallback_at_once(error: ModelError) -> None:
    stream = Stream([error], [FINE])
    notice, completed = await run_turn(stream, supervise(retry=RetryPolicy(), chain=line_up(fallback("n"))))
    assert isinstance(notice, Notice)
    assert notice.text.startswith("Switching from m to n: x")
    assert completed == MessageCompleted(AssistantMessage("Fine."), model="openai/n")


@pytest.mark.parametrize("error", [InvalidRequest("x"), ContextOverflow("x"), ContentFiltered("x"), ValueError("x")])
async def test_an_error_about_the_request_is_not_sent_to_a_fallback(error: Exception) -> None:
    stream = Stream([error], [FINE])
    with pytest.raises(type(error)):
        await run_turn(stream, supervise(chain=line_up(fallback("n"))))
    assert len(stream.calls) == 1


async def test_each_model_has_its_own_attempts_and_the_last_error_is_raised() -> None:
    scripts: list[Script] = [[BadResponse(str(number))] for number in range(6)]
    stream = Stream(*scripts)
    calls = supervise(retry=RetryPolicy(attempts=2), chain=line_up(fallback("n"), fallback("o")))
    with pytest.raises(BadResponse, match="5"):
        await calls.ask(stream, ())
    seen = calls.events
    assert [event.attempt for event in seen if isinstance(event, Retrying)] == [2, 2, 2]
    assert [event.text for event in seen if isinstance(event, Notice)] == [
        "Switching from m to n: 1",
        "Switching from n to o: 3",
    ]


async def test_a_fallback_that_cannot_be_prepared_is_skipped() -> None:
    chain = line_up(fallback("local", ModelError("no weights")), fallback("n"))
    events = await run_turn(Stream([AuthenticationFailed("no key")], [FINE]), supervise(chain=chain))
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "Switching from m to local: no key",
        "Switching from local to n: no weights",
    ]
    with pytest.raises(ModelError, match="no weights"):
        await run_turn(
            Stream([AuthenticationFailed("x")]), supervise(chain=line_up(fallback("l", ModelError("no weights"))))
        )


async def test_a_turn_can_start_with_a_fallback() -> None:
    chain = await FallbackChain.open([fallback("local", ModelError("no weights")), fallback("n")])
    stream = Stream([FINE])
    assert await run_turn(stream, supervise(chain=chain)) == [Notice("Switching from local to n: no weights"), FINE]
    with pytest.raises(ModelError, match="no weights"):
        await FallbackChain.open([fallback("local", ModelError("no weights"))])


async def test_a_rejected_parameter_is_omitted_from_then_on_and_costs_no_attempt() -> None:
    refused = [ParameterRefused("no", parameter=name) for name in ("parallel_tool_calls", "temperature")]
    stream = Stream([refused[0]], [refused[1]], [FINE], [FINE])
    calls = supervise(chain=line_up())
    assert await run_turn(stream, calls) == [Notice("m does not accept temperature, so it uses its default."), FINE]
    assert await run_turn(stream, calls) == [FINE]
    omitted = [call.settings.omitted for call in stream.calls]
    assert omitted[1:] == [("parallel_tool_calls",), *[("parallel_tool_calls", "temperature")] * 2]


async def test_one_name_of_the_token_limit_can_be_rejected() -> None:
    names = ("max_tokens", "max_completion_tokens")
    scripts: list[Script] = [[ParameterRefused("no", parameter=name)] for name in names]
    stream = Stream(*scripts, [FINE])
    events = await run_turn(stream, supervise(chain=line_up()))
    assert events == [
        Notice("m does not accept max_completion_tokens, so the length of its answers is unlimited."),
        FINE,
    ]


@pytest.mark.parametrize("names", [["seed", "seed"], [""], [f"made_up_{number}" for number in range(50)]])
async def test_endless_rejections_of_a_server_are_an_error(names: list[str]) -> None:
    scripts: list[Script] = [[ParameterRefused("no", parameter=name)] for name in names]
    stream = Stream(*scripts)
    with pytest.raises(ParameterRefused):
        await run_turn(stream, supervise(chain=line_up()))
    assert len(stream.calls) < 10


TOOLS = (ToolSpec("work", "Does some work.", {"type": "object"}),)


async def test_a_model_without_native_tools_gets_text_tools_from_then_on() -> None:
    stream = Stream([ToolsUnsupported("no tools")], [TextDelta("Fine."), FINE], [TextDelta("Fine."), FINE])
    calls = supervise(chain=line_up(), tools=TOOLS)
    notice, *rest = await run_turn(stream, calls)
    assert notice == Notice("m does not support tool calls, so it writes them in its text.")
    assert rest[-1] == FINE
    assert (await run_turn(stream, calls))[-1] == FINE
    assert [bool(call.tools) for call in stream.calls] == [True, False, False]
    assert "work" in stream.calls[1].system


async def test_rejected_messages_are_sent_in_another_form_and_cost_no_attempt() -> None:
    refused = MessagesRefused("no", refused=RefusedMessages("call_ids", IdForm(9, exact=True, alphabet="letters")))
    stream = Stream([TextDelta("Fi"), refused], [FINE], [FINE])
    calls = supervise(chain=line_up())
    history = supervise()._request.messages
    assert await run_turn(stream, calls, history) == [TextDelta("Fi"), Retrying(1, 0.0, "no", discard=True), FINE]
    assert await run_turn(stream, calls, history) == [FINE]
    asked = [call.messages[1] for call in stream.calls]
    sent = [message.tool_calls[0].id for message in asked if isinstance(message, AssistantMessage)]
    assert sent[0] == "old"
    assert len(sent[1]) == 9
    assert sent[2] == sent[1]


async def test_the_same_rejection_twice_is_an_error() -> None:
    script: Script = [MessagesRefused("no system", refused=RefusedMessages("system_role"))]
    stream = Stream(script, script)
    with pytest.raises(MessagesRefused, match="no system"):
        await run_turn(stream, supervise(chain=line_up()))
    assert [call.system for call in stream.calls] == ["Be brief.", ""]


async def test_a_fallback_can_accept_messages_that_another_model_rejects() -> None:
    script: Script = [MessagesRefused("no system", refused=RefusedMessages("system_role"))]
    stream = Stream(script, script, [FINE])
    events = await run_turn(stream, supervise(chain=line_up(fallback("n"))))
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "m does not accept a system prompt, so it is sent with the first message.",
        "Switching from m to n: no system",
    ]
    assert stream.calls[-1].system == "Be brief."


async def test_a_server_that_accepts_only_user_and_assistant_gets_text_tools() -> None:
    script: Script = [MessagesRefused("in turns", refused=RefusedMessages("roles"))]
    stream = Stream(script, script, [TextDelta("Fine."), FINE])
    await run_turn(stream, supervise(chain=line_up(), tools=TOOLS), (UserMessage.from_text("Go."),))
    assert [(bool(call.system), bool(call.tools)) for call in stream.calls] == [
        (True, True),
        (False, True),
        (False, False),
    ]
    assert "work" in stream.calls[-1].messages[0].text


async def test_with_native_tools_only_a_rejection_of_tools_is_an_error() -> None:
    stream = Stream([ToolsUnsupported("no tools")], [FINE])
    with pytest.raises(ToolsUnsupported, match="--tool-mode auto"):
        await run_turn(stream, supervise(chain=line_up(tool_mode="native"), tools=TOOLS))


async def test_with_text_tools_a_model_is_never_offered_native_tools() -> None:
    stream = Stream([TextDelta("Fine."), FINE])
    await run_turn(stream, supervise(chain=line_up(tool_mode="text"), tools=TOOLS))
    assert stream.calls[0].tools == ()


async def test_an_endless_answer_is_cut_and_its_stream_closed() -> None:
    piece = TextDelta("x" * 250_000)
    stream = Stream([piece] * 50)
    *deltas, notice, completed = await run_turn(stream)
    assert deltas == [*[piece] * 8, TextDelta("")]
    assert isinstance(notice, Notice)
    assert isinstance(completed, MessageCompleted)
    assert (len(completed.message.text), completed.message.finish) == (2_000_000, "length")
    assert stream.closed == 1


async def test_text_of_a_rejected_call_is_retracted() -> None:
    stream = Stream([TextDelta("Fi"), ParameterRefused("no", parameter="parallel_tool_calls")], [FINE])
    events = await run_turn(stream, supervise(chain=line_up()))
    assert events == [TextDelta("Fi"), Retrying(1, 0.0, "no", discard=True), FINE]
