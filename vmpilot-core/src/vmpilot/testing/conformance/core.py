"""The level `core`: one question, one answer, and the request that is sent."""

from __future__ import annotations

import asyncio

from vmpilot.contract import CONTRACT_VERSION, Message, UserMessage, encode_event
from vmpilot.testing.conformance.case import LEVELS, Case, NotApplicable, case, check, check_equal, shown
from vmpilot.testing.conformance.harness import (
    NOTE,
    QUESTION,
    SHELL,
    SYSTEM,
    Harness,
    describe,
    find_role,
    roles,
    text_of,
)
from vmpilot.testing.conformance.imports import look_at_import
from vmpilot.testing.playing import KEY, NAME
from vmpilot.testing.recording import RecordedRequest
from vmpilot.testing.script import Reply, Stall
from vmpilot.testing.strict import history_faults


@case("core", "contract.md#hooks")
async def describes_itself(harness: Harness) -> None:
    """`describe_backend` gives the entry point's name, this contract's version and known levels."""
    backend = harness.subject.backend
    info = backend.info
    check_equal(info.name, backend.name, "the entry point's name,")
    check_equal(info.contract_version, CONTRACT_VERSION, "the contract version")
    check_equal(sorted(info.capabilities - set(LEVELS)), [], "only known levels, but unknown levels:")


@case("core", "conformance.md#core")
async def quiet_import(harness: Harness) -> None:
    """Importing the backend has no side effects on output, processes, network, files, working folder or environment."""
    module = harness.subject.module
    if module is None:
        raise NotApplicable("the backend was given as an object, and nothing was imported")
    effects = await asyncio.to_thread(look_at_import, module)
    check(not effects, "an import without effects", "; ".join(effects))


@case("core", "contract.md#the-grammar-of-a-turn")
async def answers(harness: Harness) -> None:
    """The model's answer is the turn's last message."""
    turn = await harness.run_turn(Reply("All is well."))
    check_equal(turn.answer.text, "All is well.", "the answer")
    check_equal(turn.answer.finish, "stop", "the end")


@case("core", "contract.md#the-grammar-of-a-turn")
async def asks_once(harness: Harness) -> None:
    """A question that the model answers without tools takes one request and yields one message."""
    turn = await harness.run_turn(Reply("All is well."))
    check_equal(len(turn.bodies), 1, "requests to the model:")
    check_equal(len(turn.messages), 1, "messages:")


@case("core", "conformance.md#core")
async def question_as_asked(harness: Harness) -> None:
    """The user's text is sent unchanged, including all whitespace."""
    text = "  Grüße, 世界 😀!\n\n\t`rm -rf`  \\n "
    turn = await harness.run_turn(Reply("Yes."), messages=(UserMessage.from_text(text),))
    check_equal([text_of(message) for message in find_role(turn.sent(0), "user")], [text], "the user's messages")


@case("core", "contract.md#what-a-turn-is")
async def system_prompt(harness: Harness) -> None:
    """The system prompt is sent first, once and unchanged."""
    turn = await harness.run_turn(Reply("Yes."))
    check_equal(roles(turn.sent(0)), ["system", "user"], "the roles")
    check_equal(text_of(turn.sent(0)[0]), SYSTEM, "the system prompt")


@case("core", "contract.md#what-a-turn-is")
async def no_system_prompt(harness: Harness) -> None:
    """An empty system prompt is not sent, and nothing replaces it."""
    turn = await harness.run_turn(Reply("Yes."), system="")
    check_equal(roles(turn.sent(0)), ["user"], "the roles")


@case("core", "contract.md#what-a-turn-is")
async def model_name(harness: Harness) -> None:
    """The request names the selected model, without its provider."""
    turn = await harness.run_turn(Reply("Yes."))
    check_equal(turn.body(0).get("model"), NAME, "the model")


@case("core", "contract.md#what-a-turn-is")
async def temperature(harness: Harness) -> None:
    """The temperature is sent, even if it is 0."""
    for wanted in (0.0, 0.7):
        turn = await harness.run_turn(Reply("Yes."), temperature=wanted)
        check_equal(turn.body(0).get("temperature"), wanted, "the temperature")


@case("core", "contract.md#what-a-turn-is")
async def token_limit(harness: Harness) -> None:
    """The token limit is sent under one of its two names."""
    turn = await harness.run_turn(Reply("Yes."), max_tokens=123)
    body = turn.body(0)
    limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None]
    check_equal(limits, [123], "the limit, once:")


@case("core", "contract.md#what-a-turn-is")
async def seed_and_effort(harness: Harness) -> None:
    """The seed and the reasoning effort are sent."""
    body = (await harness.run_turn(Reply("Yes."), seed=7, reasoning_effort="low")).body(0)
    check_equal((body.get("seed"), body.get("reasoning_effort")), (7, "low"), "seed and effort")


@case("core", "contract.md#what-a-turn-is")
async def unset_settings(harness: Harness) -> None:
    """A setting that is None is not sent, so the provider decides."""
    body = (await harness.run_turn(Reply("Yes."))).body(0)
    names = ("temperature", "max_tokens", "max_completion_tokens", "seed", "reasoning_effort", "top_p", "stop")
    check_equal([name for name in names if body.get(name) is not None], [], "no such parameters, but got")


@case("core", "contract.md#what-a-turn-is")
async def omitted_members(harness: Harness) -> None:
    """Parameters that the server does not accept are left out."""
    body = (await harness.run_turn(Reply("Yes."), temperature=0.5, omitted=("stream_options", "temperature"))).body(0)
    sent = [name for name in ("stream_options", "temperature") if name in body]
    check_equal(sent, [], "no omitted parameters, but got")
    check_equal(
        (await harness.run_turn(Reply("Yes."), omitted=("stream",))).answer.text, "Yes.", "a non-streamed answer"
    )


@case("core", "conformance.md#core")
async def valid_request(harness: Harness) -> None:
    """Every request is acceptable to the strictest provider, with and without tools."""
    for tools in ((), (SHELL, NOTE)):
        turn = await harness.run_turn(Reply("Yes."), tools=tools)
        check_equal(history_faults(turn.body(0)), (), f"with {len(tools)} tools, faults of the request:")


@case("core", "conformance.md#core")
async def key_in_its_place(harness: Harness) -> None:
    """The key is sent in a header and does not appear in any event or request body."""
    with harness.model(Reply("All is well.")) as model:
        turn = await harness.run_request(harness.request(model), model)
        headers = [request.headers for request in model.requests]
    if turn.error is not None:
        raise turn.error
    check(
        not any(KEY in encode_event(event) for event in turn.events), "no key in an event", "an event that contains it"
    )
    check(KEY not in repr(turn.bodies), "no key in a request's body", "a body that contains it")
    if any(headers):
        came = [sorted(name for name, value in one.items() if KEY in value) for one in headers]
        check(all(came), "the key in a header of each request", shown(came))


@case("core", "conformance.md#core")
async def turns_at_once(harness: Harness) -> None:
    """Concurrent turns do not mix."""

    def answer_what_is_asked(request: RecordedRequest) -> Reply:
        return Reply(f"You said {text_of(request.messages[-1])}.", gap=0.002)

    with harness.model(answer_what_is_asked) as model:
        asked = [f"word {number}" for number in range(8)]
        requests = [harness.request(model, messages=(UserMessage.from_text(text),)) for text in asked]
        turn = await asyncio.gather(*(harness.run_request(request, model) for request in requests))
    for text, one in zip(asked, turn, strict=True):
        if one.error is not None:
            raise one.error
        check_equal(one.answer.text, f"You said {text}.", "the answer of the same turn,")
        check_equal(len(one.messages), 1, "messages of each turn:")


@case("core", "conformance.md#core")
async def nothing_is_kept(harness: Harness) -> None:
    """A turn knows about earlier turns only from its request."""
    with harness.model(Reply("First answer."), Reply("Second answer.")) as model:
        first = await harness.run_request(harness.request(model), model)
        other: tuple[Message, ...] = (UserMessage.from_text("Another matter."),)
        second = await harness.run_request(harness.request(model, messages=other, system=""), model)
    if error := first.error or second.error:
        raise error
    check_equal([text_of(message) for message in second.sent(-1)], ["Another matter."], "the second turn's messages")
    check_equal(len(second.messages), 1, "messages of the second turn:")


@case("core", "conformance.md#core")
async def loop_stays_free(harness: Harness) -> None:
    """While one turn waits for its model, other turns continue: the event loop is not blocked."""
    with harness.model(Stall("headers")) as slow, harness.model(Reply("Quick.")) as quick:
        waiting = asyncio.create_task(harness.run_request(harness.request(slow), slow))
        await harness.come_to_ask(slow, waiting)
        turn = await harness.run_request(harness.request(quick), quick)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=harness.patience)
    if turn.error is not None:
        raise turn.error
    check_equal(turn.answer.text, "Quick.", "the answer of the other turn,")


@case("core", "contract.md#the-grammar-of-a-turn")
async def ends_with_the_answer(harness: Harness) -> None:
    """Nothing is yielded after the message with the answer."""
    turn = await harness.run_turn(Reply("All is well."), messages=(QUESTION,))
    check(
        bool(turn.events) and turn.events[-1] is turn.completed[-1:][0],
        "the answer as the last event",
        describe(turn),
    )


CORE: tuple[Case, ...] = (
    describes_itself,
    quiet_import,
    answers,
    asks_once,
    question_as_asked,
    system_prompt,
    no_system_prompt,
    model_name,
    temperature,
    token_limit,
    seed_and_effort,
    unset_settings,
    omitted_members,
    valid_request,
    key_in_its_place,
    turns_at_once,
    nothing_is_kept,
    loop_stays_free,
    ends_with_the_answer,
)
