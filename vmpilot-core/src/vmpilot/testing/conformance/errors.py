"""The level `errors`: each model failure becomes one error of the contract with a clear message."""

from __future__ import annotations

import json

from vmpilot.contract import (
    AuthenticationFailed,
    BadResponse,
    ContentFiltered,
    ContextOverflow,
    InvalidRequest,
    MessagesRefused,
    ModelError,
    ModelNotFound,
    ParameterRefused,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RefusedMessages,
    StoreError,
    StreamInterrupted,
    TextDelta,
    ToolCall,
    ToolsUnsupported,
    TurnStopped,
)
from vmpilot.testing.conformance.case import Case, case, check, check_equal, shown
from vmpilot.testing.conformance.harness import DONE, Harness, describe, need_model_calls, shell_call
from vmpilot.testing.fakes import RetryingModelCalls, ScriptedToolbox
from vmpilot.testing.playing import KEY
from vmpilot.testing.script import Drop, HttpError, Raw, Reply, Step

_LONG = Reply("one two three four five six seven")
_BROKEN_OFF = Drop(4, _LONG)
_OVERLOADED = HttpError(503, "The engine is overloaded, try again later", kind="server_error")


async def _expect(harness: Harness, step: Step, *kinds: type[ModelError]) -> ModelError:
    """Run a turn that ends in one of these errors, and return the error."""
    error, _played = await harness.run_failing_turn(step)
    names = " or ".join(kind.__name__ for kind in kinds)
    check(type(error) in kinds, names, f"{type(error).__name__}: {error}")
    return error


@case("errors", "contract.md#errors")
async def authentication(harness: Harness) -> None:
    """A rejected key is AuthenticationFailed."""
    await _expect(harness, HttpError(401, "Incorrect API key provided.", code="invalid_api_key"), AuthenticationFailed)


@case("errors", "contract.md#errors")
async def model_not_found(harness: Harness) -> None:
    """A model unknown to the provider is ModelNotFound."""
    await _expect(harness, HttpError(404, "The model does not exist.", code="model_not_found"), ModelNotFound)


@case("errors", "contract.md#errors")
async def invalid_request(harness: Harness) -> None:
    """A request that the provider rejects as invalid is InvalidRequest."""
    await _expect(harness, HttpError(400, "Invalid value for 'messages'."), InvalidRequest)


@case("errors", "contract.md#errors")
async def context_overflow(harness: Harness) -> None:
    """A conversation that is too long is ContextOverflow, so that the core can compact it."""
    message = "This model's maximum context length is 8192 tokens, your messages resulted in 9000 tokens."
    await _expect(harness, HttpError(400, message, code="context_length_exceeded"), ContextOverflow)


@case("errors", "contract.md#errors")
async def rate_limited(harness: Harness) -> None:
    """Too many requests raise RateLimited, with the wait that the provider asks for."""
    error = await _expect(harness, HttpError(429, "Slow down.", headers={"retry-after": "7"}), RateLimited)
    check_equal(getattr(error, "retry_after", None), 7.0, "retry_after")


@case("errors", "contract.md#errors")
async def quota(harness: Harness) -> None:
    """An account without credit is QuotaExhausted: waiting does not help."""
    message = "You exceeded your current quota, please check your plan and billing details."
    await _expect(harness, HttpError(429, message, code="insufficient_quota"), QuotaExhausted)


@case("errors", "contract.md#errors")
async def content_filter(harness: Harness) -> None:
    """A request that the provider's content policy rejects is ContentFiltered."""
    message = "The response was filtered due to the prompt triggering our content management policy."
    await _expect(harness, HttpError(400, message, code="content_filter"), ContentFiltered)


@case("errors", "contract.md#errors")
async def unavailable(harness: Harness) -> None:
    """A provider that fails or is overloaded is ProviderUnavailable."""
    for status in (500, 502, 503, 529):
        await _expect(harness, HttpError(status, "The engine is overloaded."), ProviderUnavailable)


@case("errors", "contract.md#errors")
async def tools_unsupported(harness: Harness) -> None:
    """A model without tool support is ToolsUnsupported, so that the core can switch to the text protocol."""
    await _expect(harness, HttpError(400, "registry/gemma:2b does not support tools"), ToolsUnsupported)


@case("errors", "contract.md#errors")
async def parameter_refused(harness: Harness) -> None:
    """A parameter that the server does not accept is ParameterRefused, which names it."""
    refusal = HttpError(
        400, body={"error": {"message": "Unknown parameter: 'stream_options'.", "param": "stream_options"}}
    )
    error = await _expect(harness, refusal, ParameterRefused)
    check_equal(getattr(error, "parameter", None), "stream_options", "the parameter")


@case("errors", "contract.md#errors")
async def messages_refused(harness: Harness) -> None:
    """A server that requires another form of the messages is MessagesRefused, so that the core can change the form."""
    error = await _expect(harness, HttpError(400, "System role not supported"), MessagesRefused)
    check_equal(getattr(error, "refused", None), RefusedMessages("system_role"), "the rejected form")


@case("errors", "contract.md#errors")
async def unreadable_call(harness: Harness) -> None:
    """A tool call that the provider itself could not parse is BadResponse, so that the model is called again."""
    message = "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details."
    await _expect(harness, HttpError(400, message, code="tool_use_failed"), BadResponse)


@case("errors", "contract.md#errors")
async def no_connection(harness: Harness) -> None:
    """A connection that ends before the answer begins is ProviderUnavailable or StreamInterrupted."""
    await _expect(harness, Drop("request"), ProviderUnavailable, StreamInterrupted)


@case("errors", "contract.md#errors")
async def broken_stream(harness: Harness) -> None:
    """A stream that breaks before its end is StreamInterrupted, not an answer."""
    await _expect(harness, _BROKEN_OFF, StreamInterrupted)


@case("errors", "contract.md#errors")
async def error_in_the_stream(harness: Harness) -> None:
    """An error that the provider sends within a stream is raised."""
    events = [
        {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "It is"}}]},
        {"error": {"message": "The server had an error.", "type": "server_error", "code": None}},
    ]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    step = Raw(text=f"{text}data: [DONE]\n\n", content_type="text/event-stream")
    await _expect(harness, step, ProviderUnavailable, StreamInterrupted, BadResponse)


@case("errors", "contract.md#errors")
async def no_answer_at_all(harness: Harness) -> None:
    """An HTML page or an empty body with status 200 is BadResponse or StreamInterrupted."""
    page = Raw(text="<html><body>Welcome to nginx</body></html>", content_type="text/html")
    for step in (page, Raw(text="", content_type="text/event-stream")):
        await _expect(harness, step, BadResponse, StreamInterrupted)


@case("errors", "contract.md#what-the-core-gives")
async def partial_text(harness: Harness) -> None:
    """Text received before the stream broke is yielded, neither held back nor turned into a message."""
    _error, turn = await harness.run_failing_turn(_BROKEN_OFF)
    check(any(isinstance(event, TextDelta) for event in turn.events), "the TextDelta so far", describe(turn))
    check(not turn.completed, "no MessageCompleted", describe(turn))


@case("errors", "contract.md#what-the-core-gives")
async def no_own_retries(harness: Harness) -> None:
    """Neither the backend nor its library retries a failed call: retries are the core's job."""
    for step in (_OVERLOADED, HttpError(429, "Slow down.", headers={"retry-after": "0"}), Drop("request")):
        _error, turn = await harness.run_failing_turn(step, DONE)
        check_equal(len(turn.bodies), 1, "requests to the model:")


@case("errors", "contract.md#what-the-core-gives")
async def tried_again_by_the_core(harness: Harness) -> None:
    """When the core retries a failed call, `Retrying` is passed on and the answer is that of the second attempt."""
    turn = await harness.run_turn(_BROKEN_OFF, Reply("All is well."), tries=2)
    need_model_calls(turn)
    check_equal(turn.answer.text, "All is well.", "the answer")
    kinds = [type(event).__name__ for event in turn.events]
    check_equal(kinds.count("Retrying"), 1, "one Retrying,")
    check_equal(kinds.count("MessageCompleted"), 1, "one MessageCompleted,")


@case("errors", "contract.md#errors")
async def chained(harness: Harness) -> None:
    """The library's own exception is kept as the cause of the contract's (`raise … from`)."""
    error, _played = await harness.run_failing_turn(_OVERLOADED)
    check(error.__cause__ is not None, "the library's exception as __cause__", "none")


@case("errors", "contract.md#errors")
async def sentence_without_key(harness: Harness) -> None:
    """The error is a sentence for the user and does not contain the key, even if the provider repeats it."""
    for step in (
        HttpError(401, f"Incorrect API key provided: {KEY}. You can find yours at https://example.invalid."),
        HttpError(400, f"Bad header Authorization: Bearer {KEY}"),
    ):
        error, _played = await harness.run_failing_turn(step)
        check(len(str(error)) >= 10, "a sentence", shown(str(error)))
        check(KEY not in str(error), "an error without the key", "an error that quotes it")


@case("errors", "conformance.md#errors")
async def redirects(harness: Harness) -> None:
    """A redirect to another server is an error: the key is not sent there."""
    with harness.model(DONE) as elsewhere:
        place = elsewhere.settings.base_url or "http://127.0.0.1:9/v1"
        moved = HttpError(307, "Moved.", headers={"location": f"{place}/chat/completions"})
        error, _played = await harness.run_failing_turn(moved)
        check_equal(len(elsewhere.requests), 0, "requests to the other server:")
    check_equal(type(error).__name__, "InvalidRequest", "the error")


@case("errors", "contract.md#what-the-core-gives")
async def turn_stopped(harness: Harness) -> None:
    """When a limit of the turn is reached, `TurnStopped` passes through the backend."""
    with harness.model(Reply(tool_calls=(shell_call(),)), DONE) as model:
        request = harness.request(model)
        calls = RetryingModelCalls(request, stop_at=2, stop=TurnStopped("the limit of steps is reached"))
        turn = await harness.run_request(request, model, model_calls=calls)
    need_model_calls(turn)
    check_equal(type(turn.error).__name__, "TurnStopped", "the error from the turn")


@case("errors", "contract.md#errors")
async def failing_log(harness: Harness) -> None:
    """A core error from the toolbox passes through the backend unchanged."""

    def fail(_call: ToolCall) -> str:
        raise StoreError("the conversation's log cannot be written")

    turn = await harness.run_to_the_end(Reply(tool_calls=(shell_call(),)), DONE, toolbox=ScriptedToolbox(fail))
    check_equal(type(turn.error).__name__, "StoreError", "the error from the turn")
    check_equal(len(turn.bodies), 1, "requests to the model:")


@case("errors", "conformance.md#errors")
async def well_again(harness: Harness) -> None:
    """A failed turn does not affect the next one."""
    with harness.model(_BROKEN_OFF, Reply("All is well.")) as model:
        first = await harness.run_request(harness.request(model), model)
        second = await harness.run_request(harness.request(model), model)
    check(first.error is not None, "an error of the first turn", "none")
    if second.error is not None:
        raise second.error
    check_equal(second.answer.text, "All is well.", "the answer of the second turn,")


ERRORS: tuple[Case, ...] = (
    authentication,
    model_not_found,
    invalid_request,
    context_overflow,
    rate_limited,
    quota,
    content_filter,
    unavailable,
    tools_unsupported,
    parameter_refused,
    messages_refused,
    unreadable_call,
    no_connection,
    broken_stream,
    error_in_the_stream,
    no_answer_at_all,
    partial_text,
    no_own_retries,
    tried_again_by_the_core,
    chained,
    sentence_without_key,
    redirects,
    turn_stopped,
    failing_log,
    well_again,
)
