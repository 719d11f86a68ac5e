"""Everything that a case works with: the backend under test, scripted models, and complete turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    BackendEvent,
    GenerationRequest,
    Message,
    MessageCompleted,
    ModelError,
    ReasoningDelta,
    TextDelta,
    ToolSpec,
    Usage,
    UserMessage,
    VMPilotError,
)
from vmpilot.plugins import Backend
from vmpilot.testing.conformance.case import NotApplicable, Unmet, check, shown
from vmpilot.testing.fakes import RetryingModelCalls, ScriptedToolbox, stream_turn
from vmpilot.testing.playing import PlayedModel, ScriptedModel, ServedModel
from vmpilot.testing.script import Reply, ScriptedCall, Step, StepMaker

SYSTEM = "You are under test. Be brief."
QUESTION = UserMessage.from_text("What is the matter?")
SHELL = ToolSpec(
    "shell",
    "Run a command.",
    {
        "type": "object",
        "properties": {"command": {"type": "string", "description": "A line for bash."}},
        "required": ["command"],
        "additionalProperties": False,
    },
)
NOTE = ToolSpec("note", "Keep a note.", {"type": "object", "properties": {"text": {"type": "string"}}})

DONE = Reply("It is done.")


def shell_call(command: str = "uptime", call_id: str = "call_1") -> ScriptedCall:
    """A call of the tool `shell`."""
    return ScriptedCall("shell", {"command": command}, id=call_id)


@dataclass(frozen=True)
class Subject:
    """A backend under test and the factory for the models that answer it.

    `module` is the module of its entry point, or None if the backend was not imported through an entry point.
    """

    backend: Backend
    scripted_model: ScriptedModel = ServedModel
    module: str | None = None


@dataclass
class TurnResult:
    """The result of one turn: the events, the requests to the model, and the error, if any."""

    events: list[BackendEvent]
    toolbox: ScriptedToolbox
    model_calls: RetryingModelCalls
    bodies: list[dict[str, Any]] = field(default_factory=list)
    error: VMPilotError | None = None

    @property
    def completed(self) -> list[MessageCompleted]:
        return [event for event in self.events if isinstance(event, MessageCompleted)]

    @property
    def messages(self) -> list[AssistantMessage]:
        return [event.message for event in self.completed]

    @property
    def usages(self) -> list[Usage | None]:
        return [event.usage for event in self.completed]

    @property
    def answer(self) -> AssistantMessage:
        """The last message."""
        if not self.messages:
            raise Unmet("a MessageCompleted with the answer", "a turn without one")
        return self.messages[-1]

    @property
    def text(self) -> str:
        """The joined deltas of the text."""
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def reasoning(self) -> str:
        """The joined deltas of the reasoning."""
        return "".join(event.text for event in self.events if isinstance(event, ReasoningDelta))

    def body(self, position: int) -> dict[str, Any]:
        """The model request at this position; if there are fewer requests, the case fails."""
        needed = position + 1 if position >= 0 else -position
        check(len(self.bodies) >= needed, f"{needed} or more requests to the model", f"{len(self.bodies)} in all")
        return self.bodies[position]

    def sent(self, position: int) -> list[dict[str, Any]]:
        """The messages of that request."""
        messages: list[dict[str, Any]] = self.body(position).get("messages") or []
        return messages


class Harness:
    """The harness of one case; `close` stops its models and may be called from another thread.

    `patience` is how many seconds a case waits for things that a good backend does at once.
    """

    def __init__(self, subject: Subject, *, patience: float = 10.0) -> None:
        self.subject = subject
        self.patience = patience
        self._models: list[ExitStack] = []

    def close(self) -> None:
        """Stop all models of the case; clients that are waiting for a model lose their connection."""
        for model in self._models:
            model.close()

    @contextmanager
    def model(self, *steps: Step | StepMaker) -> Iterator[PlayedModel]:
        """A model that answers with these steps and repeats the last one."""
        with ExitStack() as own:
            model = own.enter_context(self.subject.scripted_model(steps))
            self._models.append(own)
            yield model

    def request(
        self,
        model: PlayedModel,
        *,
        messages: Sequence[Message] = (QUESTION,),
        system: str = SYSTEM,
        tools: Sequence[ToolSpec] = (SHELL,),
        **settings: Any,
    ) -> GenerationRequest:
        """A turn's request to this model; `settings` are members of `ModelSettings`."""
        return GenerationRequest(
            conversation_id="conformance",
            turn_id="1",
            messages=tuple(messages),
            system=system,
            model=model.model,
            settings=msgspec.structs.replace(model.settings, **settings),
            tools=tuple(tools),
        )

    def turn(
        self,
        request: GenerationRequest,
        toolbox: ScriptedToolbox | None = None,
        model_calls: RetryingModelCalls | None = None,
    ) -> AsyncGenerator[BackendEvent, None]:
        """The events of one turn, its calls checked against the contract; it starts at the first event requested."""
        toolbox, model_calls = toolbox or ScriptedToolbox(), model_calls or RetryingModelCalls(request)
        run = partial(self.subject.backend.run, request, toolbox, model_calls)
        return stream_turn(run, toolbox, model_calls)

    async def come_to_ask(self, model: PlayedModel, task: asyncio.Task[Any]) -> None:
        """Wait until the task's turn has called the model; the case fails if the turn ends first."""
        asked = asyncio.ensure_future(asyncio.to_thread(model.wait_for_requests, 1, self.patience))
        await asyncio.wait([task, asked], return_when=asyncio.FIRST_COMPLETED)
        if not model.requests:
            came = "a turn that ended without it" if task.done() else f"none for {self.patience:g} s"
            asked.add_done_callback(asyncio.Future.exception)  # retrieved, so that asyncio does not log it
            task.cancel()
            raise Unmet("a request to the model", came)
        await asked

    async def hear(self, events: AsyncGenerator[BackendEvent, None]) -> None:
        """Consume events up to the first TextDelta; the case fails if there is no TextDelta."""
        wanted = "a TextDelta of an answer in progress"
        try:
            async with asyncio.timeout(self.patience):
                async for event in events:
                    if isinstance(event, TextDelta):
                        return
        except TimeoutError as error:
            raise Unmet(wanted, f"nothing for {self.patience:g} s") from error
        raise Unmet(wanted, "a turn that ended without it")

    async def run_turn(
        self,
        *steps: Step | StepMaker,
        toolbox: ScriptedToolbox | None = None,
        tries: int = 1,
        **request: Any,
    ) -> TurnResult:
        """Run one complete turn against its own model; it must end without an error."""
        turn = await self.run_to_the_end(*steps, toolbox=toolbox, tries=tries, **request)
        if turn.error is not None:
            error = turn.error
            raise Unmet("a turn that ends with an answer", f"{type(error).__name__}: {error}") from error
        return turn

    async def run_failing_turn(self, *steps: Step | StepMaker, **request: Any) -> tuple[ModelError, TurnResult]:
        """Run one complete turn that must end with one of the contract's model errors."""
        turn = await self.run_to_the_end(*steps, **request)
        error = turn.error
        if not isinstance(error, ModelError):
            came = "a turn that ended without an error" if error is None else f"{type(error).__name__}: {error}"
            raise Unmet("a ModelError from the turn", came) from error
        return error, turn

    async def run_to_the_end(
        self,
        *steps: Step | StepMaker,
        toolbox: ScriptedToolbox | None = None,
        tries: int = 1,
        **request: Any,
    ) -> TurnResult:
        """Run one complete turn, whatever its outcome."""
        with self.model(*steps) as model:
            return await self.run_request(self.request(model, **request), model, toolbox=toolbox, tries=tries)

    async def run_request(
        self,
        request: GenerationRequest,
        model: PlayedModel,
        *,
        toolbox: ScriptedToolbox | None = None,
        model_calls: RetryingModelCalls | None = None,
        tries: int = 1,
    ) -> TurnResult:
        """The same for an existing request."""
        toolbox = toolbox or ScriptedToolbox()
        turn = TurnResult([], toolbox, model_calls or RetryingModelCalls(request, tries=tries))
        try:
            async with aclosing(self.turn(request, toolbox, turn.model_calls)) as events:
                async for event in events:
                    turn.events.append(event)
        except VMPilotError as error:
            turn.error = error
        turn.bodies = [seen.body for seen in model.requests if isinstance(seen.body, dict)]
        return turn


def need_model_calls(turn: TurnResult) -> None:
    """Raise `NotApplicable` for a backend that does not use `model_calls`."""
    if not turn.model_calls.count:
        raise NotApplicable("the backend leaves model_calls alone")


def roles(messages: Sequence[dict[str, Any]]) -> list[str]:
    """The role of each message; a developer's counts as the system's."""
    return ["system" if message.get("role") == "developer" else str(message.get("role")) for message in messages]


def text_of(message: dict[str, Any]) -> str:
    """The text of a chat message, whose content may be a string, parts or nothing."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def find_role(messages: Sequence[dict[str, Any]], role: str) -> list[dict[str, Any]]:
    """The messages of one role."""
    return [message for message, said in zip(messages, roles(messages), strict=True) if said == role]


def describe(turn: TurnResult) -> str:
    """The turn's events in a few words, for a message."""
    return shown([type(event).__name__ for event in turn.events])
