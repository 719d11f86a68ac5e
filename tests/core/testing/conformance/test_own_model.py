"""A backend that asks no server at all is checked on a scripted model of its own, plugged in at one place."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    BackendInfo,
    GenerationRequest,
    MessageCompleted,
    ModelCall,
    ModelCalls,
    Toolbox,
    hookimpl,
)
from vmpilot.providers import MessageBuilder, chat_messages, chat_options, chat_tool
from vmpilot.testing import CannotPlay, Reply, ScriptPlayer
from vmpilot.testing.conformance import CASES, make_report, make_subject, run_cases
from vmpilot.testing.playing import NAME
from vmpilot.testing.script import Step, StepMaker, split_text


class OwnModel(ScriptPlayer):
    """What the backend's library calls a model; it gives whole replies."""

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
    """A loop around models that live in this process."""

    def __init__(self) -> None:
        self.models: dict[str, OwnModel] = {}

    def make_model(self, steps: Sequence[Step | StepMaker]) -> OwnModel:
        """The one thing that is plugged in."""
        return OwnModel(steps, self.models)

    @hookimpl
    def describe_backend(self) -> BackendInfo:
        return BackendInfo("own", "1", capabilities=frozenset({"core", "tools", "parallel", "usage", "resume"}))

    @hookimpl
    async def generate_responses(
        self, request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
    ) -> AsyncGenerator[BackendEvent, None]:
        messages = list(request.messages)
        while True:
            answer = AssistantMessage()
            async with aclosing(model_calls.run(self.ask, messages)) as events:
                async for event in events:
                    yield event
                    if isinstance(event, MessageCompleted):
                        answer = event.message
            if not answer.tool_calls:
                return
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


def test_it_is_checked_like_any_other_and_what_it_cannot_play_is_skipped() -> None:
    backend = OwnBackend()
    results = list(run_cases(make_subject(backend, backend.make_model), CASES))
    assert [(one.case.id, one.expected, one.came) for one in results if one.outcome == "failed"] == []
    skipped = {one.case.id: one.came for one in results if one.outcome == "skipped"}
    assert skipped.pop("core.quiet_import")
    assert set(skipped.values()) == {"it has no connection that could break"}
    report = make_report(make_subject(backend).backend.info, results)
    assert {level.level: level.passed for level in report.levels if level.claimed} == {
        "core": 17,
        "tools": 16,
        "parallel": 6,
        "usage": 5,
        "resume": 10,
    }
