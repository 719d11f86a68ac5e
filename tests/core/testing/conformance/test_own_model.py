"""A backend that calls no server is tested with its own scripted model, plugged in at one place."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from vmpilot.contract import (
    BackendEvent,
    BackendInfo,
    GenerationRequest,
    MessageCompleted,
    ModelCall,
    ModelCalls,
    Toolbox,
    hookimpl,
)
from vmpilot.engine.history import sendable
from vmpilot.providers import MessageBuilder, chat_messages, chat_options, chat_tool
from vmpilot.testing import CannotPlay, Reply, ScriptPlayer
from vmpilot.testing.conformance import CASES, make_report, make_subject, run_cases
from vmpilot.testing.playing import NAME
from vmpilot.testing.script import Step, StepMaker, split_text


class OwnModel(ScriptPlayer):
    """A model as the backend's library defines it; it returns complete replies."""

    def __init__(self, steps: Sequence[Step | StepMaker], models: dict[str, OwnModel]) -> None:
        super().__init__(steps)
        if not all(isinstance(step, Reply) or callable(step) for step in steps):
            raise CannotPlay("it has no connection that could break")
        self.model = f"own/{len(models)}"
        models[self.model] = self

    def ask(self, call: ModelCall) -> Reply:
        tools = {"tools": [chat_tool(tool) for tool in call.tools]} if call.tools else {}
        messages = chat_messages(call.messages, system=call.system)
        _request, step = self.take({"model": NAME, "messages": messages, **chat_options(call.settings), **tools})
        assert isinstance(step, Reply)
        return step


class OwnBackend:
    """A loop around in-process models."""

    def __init__(self) -> None:
        self.models: dict[str, OwnModel] = {}

    def make_model(self, steps: Sequence[Step | StepMaker]) -> OwnModel:
        """The only plugged-in part."""
        return OwnModel(steps, self.models)

    @hookimpl
    def describe_backend(self) -> BackendInfo:
        return BackendInfo("own", "1", capabilities=frozenset({"core", "tools", "parallel", "usage", "resume"}))

    @hookimpl
    async def generate_responses(self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls) -> None:
        messages = list(request.messages)
        while (answer := await model_calls.ask(self.ask, messages)).tool_calls:
            messages += [answer, *await toolbox.call_all(answer.tool_calls)]

    async def ask(self, call: ModelCall) -> AsyncGenerator[BackendEvent, None]:
        reply = self.models[call.model].ask(call)
        builder = MessageBuilder()
        for piece in split_text(reply.reasoning):
            yield builder.add_reasoning(piece)
        for piece in split_text(reply.text, reply.chunks):
            yield builder.add_text(piece)
        for index, wanted in enumerate(reply.tool_calls):
            identity = wanted.id if isinstance(wanted.id, str) else f"call_{index}"
            yield builder.add_tool_call(index=index, id=identity, name=wanted.name, arguments=wanted.argument_text)
        yield MessageCompleted(builder.build(reply.finish_reason), reply.usage)


class YieldingBackend(OwnBackend):
    """The same as a generator with its own client: it does not use `model_calls`, and yields its events."""

    @hookimpl
    async def generate_responses(  # type: ignore[override]
        self, request: GenerationRequest, toolbox: Toolbox
    ) -> AsyncGenerator[BackendEvent, None]:
        messages = list(request.messages)
        while True:
            sent = tuple(map(sendable, messages))
            call = ModelCall(sent, request.system, request.model, request.settings, request.tools)
            async with aclosing(self.ask(call)) as events:
                async for event in events:
                    yield event
            assert isinstance(event, MessageCompleted)
            if not event.message.tool_calls:
                return
            messages += [event.message, *await toolbox.call_all(event.message.tool_calls)]


CLAIMED = {"core": 17, "tools": 16, "parallel": 6, "usage": 5, "resume": 10}
NEED_MODEL_CALLS = {"resume": 1}


@pytest.mark.parametrize(
    ("make_backend", "not_applicable"), [(OwnBackend, {}), (YieldingBackend, NEED_MODEL_CALLS)], ids=["asks", "yields"]
)
def test_it_is_tested_like_any_other_and_unsupported_steps_are_skipped(
    make_backend: type[OwnBackend], not_applicable: dict[str, int]
) -> None:
    backend = make_backend()
    results = list(run_cases(make_subject(backend, backend.make_model), CASES))
    assert [(one.case.id, one.expected, one.came) for one in results if one.outcome == "failed"] == []
    skipped = {one.case.id: one.came for one in results if one.outcome == "skipped"}
    assert skipped.pop("core.quiet_import")
    why = {"it has no connection that could break"}
    assert set(skipped.values()) == (why | {"the backend leaves model_calls alone"} if not_applicable else why)
    report = make_report(make_subject(backend).backend.info, results)
    passed = {level.level: level.passed for level in report.levels if level.claimed}
    assert passed == {level: count - not_applicable.get(level, 0) for level, count in CLAIMED.items()}
