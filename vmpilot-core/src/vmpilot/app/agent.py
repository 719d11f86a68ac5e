"""VMPilot as a library: an agent with its settings, its backend and its conversations."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vmpilot.app.cache_desk import CacheDesk
from vmpilot.app.memory import recall, terms_of
from vmpilot.app.model_desk import ModelDesk
from vmpilot.app.toolkit import ConversationTools, Toolkit, ToolReport
from vmpilot.config import (
    ApprovalsFile,
    Environment,
    Settings,
    Sourced,
    current_environment,
    load_settings,
    project_root,
)
from vmpilot.contract import (
    EndReason,
    Event,
    ImagePart,
    Message,
    MessageCompleted,
    ModelError,
    Tool,
    TurnEnded,
    TurnStarted,
    Usage,
    UsageError,
    UserMessage,
)
from vmpilot.engine import Approver, CompactionTurn, Conversation, Turn, TurnPlan, ask_without_tools, masked_history
from vmpilot.engine.prompts import system_prompt
from vmpilot.engine.recording import RecordingWriter
from vmpilot.local_model import Progress
from vmpilot.machine.workspace import Workspace
from vmpilot.permissions import Mode
from vmpilot.plugins import (
    Backend,
    BackendChoice,
    InstalledBackend,
    choose_backend,
    installed_backends,
    load_backend,
)
from vmpilot.store import ConversationStore
from vmpilot.tools.mcp import ServerReport

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request. `error` is a sentence for the person where `reason` is not `answered`."""

    text: str
    reason: EndReason
    conversation_id: str
    usage: Usage
    cost: float | None
    error: str | None


class Agent:
    """VMPilot as a library: settings, a backend, and a conversation that goes on from `run` to `run`.

    Settings that are not given come from the environment and the configuration files, as on the command line.
    `approver` is asked before what the mode does not let through by itself; without one it is denied. `progress` is
    told of long preparations, such as loading the local model. Close the agent, or use it as a context manager.
    """

    def __init__(
        self,
        *,
        folder: Path | str = ".",
        conversation: str | None = None,
        approver: Approver | None = None,
        progress: Callable[[Progress], None] = lambda _progress: None,
        record: Path | str | None = None,
        environment: Environment | None = None,
        origins: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """`settings` are those of the configuration files (`model`, `backend`, `mode`, `base_url`, …).

        `conversation` is the id of one to go on with, or its beginning. `record` is a new file in which the turns are
        recorded. `origins` names where a setting comes from, for errors. Raises `UsageError` for settings that do not
        exist or have the wrong type.
        """
        self.environment = environment or current_environment()
        self._folder = Workspace.at(Path(folder)).root
        self._sourced = _settings(self.environment, self._folder, settings, origins or {})
        self._given = frozenset(name for name, value in settings.items() if value is not None)
        self._fixed = self._given | self.environment.values().keys()
        self.approver = approver
        self.progress = progress
        self._conversation_id = conversation
        self._conversation: Conversation | None = None
        self._backends: dict[str, Backend] = {}
        self._beginning = asyncio.Lock()
        self._turns: set[Turn] = set()
        self._opened: dict[Conversation, ConversationTools] = {}
        self._models = ModelDesk(self._sourced.settings, self.environment)
        self._caches = CacheDesk(self._sourced.settings, self.environment)
        self._toolkit = Toolkit(self._sourced.settings, self.environment, self._folder)
        self._recording = None if record is None else RecordingWriter(Path(record), mask=self._toolkit.masker.mask)
        self._runner: asyncio.Runner | None = None
        self._store: ConversationStore | None = None

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._sourced.settings

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the next `run` goes on with; None before the first one."""
        return self._conversation_id

    @property
    def backend_choice(self) -> BackendChoice:
        """The backend that is used, and why. Raises `BackendError` where there is none."""
        return choose_backend(
            installed_backends(), self.settings.backend, asked_by=self._sourced.origins.get("backend", "")
        )

    async def run(
        self,
        request: str | UserMessage,
        *,
        conversation: str | None = None,
        history: Iterable[Message] | None = None,
        instructions: str = "",
    ) -> AsyncGenerator[Event, None]:
        """Run one turn and give its events; closing the iterator ends the turn and its commands.

        The turn belongs to the agent's own conversation, or to `conversation` (an id), or with `history` (an empty
        one, too) to a new one that begins with these messages. `instructions` go behind the system prompt. Raises the
        contract's errors where the turn cannot begin; after `TurnStarted` nothing is raised, and `TurnEnded` says how
        it went.
        """
        message = _checked(UserMessage.from_text(request) if isinstance(request, str) else request)
        turn = await self._begin(message, conversation, history, instructions)
        async with aclosing(self._events_of(turn)) as events:
            async for event in events:
                yield event

    async def compact(self) -> AsyncGenerator[Event, None]:
        """Have the agent's own conversation summarised now, and give the events; `HistoryCompacted` says what was done.

        Raises `UsageError` where nothing was said yet, and what `run` raises.
        """
        if self._conversation_id is None:
            raise UsageError("there is no conversation to compact: go on with one, as in: vmpilot -c /compact")
        turn = await self._begin(None, None, None, "")
        async with aclosing(self._events_of(turn)) as events:
            async for event in events:
                yield event

    async def _events_of(self, turn: Turn) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(turn.events()) as events:
                async for event in events:
                    yield event
        finally:
            self._turns.discard(turn)
            await self._release(turn.conversation)

    async def answer(self, request: str | UserMessage) -> Answer:
        """Run one turn of the agent's own conversation to its end."""
        text = conversation = ""
        ended: TurnEnded | None = None
        async with aclosing(self.run(request)) as events:
            async for event in events:
                match event:
                    case TurnStarted():
                        conversation = event.conversation_id
                    case MessageCompleted():
                        text = event.message.text
                    case TurnEnded():
                        ended = event
                    case _:
                        pass
        assert ended is not None, "a turn ends with TurnEnded"  # noqa: S101
        return Answer(text, ended.reason, conversation, ended.usage, ended.cost, ended.error)

    async def complete(self, messages: Iterable[Message], *, instructions: str = "") -> str:
        """The model's answer to these messages in one call: no tools, no system prompt but `instructions`, no log.

        Raises the contract's errors.
        """
        backend = self._load_backend(None)
        chain = await self._models.chain(backend.name, settings=self.settings, progress=self.progress)
        masker = self._toolkit.masker
        asking = ask_without_tools(
            backend,
            chain,
            masked_history(messages, masker),
            system=masker.mask(instructions),
            retry=self.settings.retry_policy,
        )
        try:
            answer = await asyncio.wait_for(asking, self.settings.max_seconds)
        except TimeoutError as error:
            raise ModelError(f"no answer within {self.settings.max_seconds:g} s (max_seconds)") from error
        return masker.mask(answer.text)

    def ask(self, request: str | UserMessage) -> Answer:
        """`answer`, blocking, for programs that are not asynchronous; raises `RuntimeError` in a running event loop."""
        _refuse_running_loop()
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self.answer(request))

    async def go_on_with_latest(self) -> None:
        """The next `run` goes on with the conversation that was used last. Raises `UsageError` where there is none."""
        self._conversation_id = await self._conversations.latest()

    async def go_on_with_fork(self) -> None:
        """The next `run` goes on with a copy of the conversation, which itself stays as it is.

        Raises `UsageError` where there is no conversation to copy.
        """
        if self._conversation_id is None:
            raise UsageError("there is no conversation to fork: name one with -r, or the last one with -c")
        self._conversation_id = (await self._conversations.fork(self._conversation_id)).id

    async def list_tools(self) -> tuple[tuple[ToolReport, ...], tuple[str, ...]]:
        """The tools that there are, offered or not, and what is wrong with plugins and MCP servers."""
        return await self._toolkit.report(), self._toolkit.problems

    async def check_servers(self) -> tuple[ServerReport, ...]:
        """Start the MCP servers of the configuration and report on each."""
        return await self._toolkit.check_servers()

    def mask(self, text: str) -> str:
        """The text with all secrets that the agent knows, and all that look like one, replaced."""
        return self._toolkit.masker.mask(text)

    def keep_rules(self, rules: tuple[str, ...]) -> None:
        """Allow from now on what these rules say, in this project: the person's "always".

        Raises `UsageError` where that cannot be written down.
        """
        ApprovalsFile(self.environment.config_folder).keep_rules(project_root(self._folder), rules)
        self._toolkit.keep_rules(rules)

    @property
    def tape_problem(self) -> str | None:
        """Why what is recorded is not whole, None where it is, or nothing is recorded."""
        return None if self._recording is None else self._recording.problem

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences for the person on the settings, such as what of a project's file was left out."""
        return (*self._sourced.remarks, *self._caches.remarks)

    @property
    def job_notes(self) -> tuple[str, ...]:
        """Sentences for the user on background jobs that run now: whether `aclose` ends them or leaves them running."""
        return tuple(note for tools in self._opened.values() for note in tools.describe_jobs())

    def stop(self) -> bool:
        """Interrupt the turns that run; their last event is a `TurnEnded` with the reason `interrupted`.

        Returns whether there was one.
        """
        for turn in self._turns:
            turn.stop()
        return bool(self._turns)

    async def wait(self) -> None:
        """Wait until no turn runs any more."""
        for turn in tuple(self._turns):
            await turn.wait()

    async def aclose(self) -> None:
        """Interrupt the turns that run, close the conversations, and end what the agent started."""
        self.stop()
        await self.wait()
        while self._opened:
            await self._close(next(iter(self._opened)))
        self._conversation = None
        if self._store is not None:
            await self._store.close()
            self._store = None
        await self._toolkit.aclose()
        await self._models.aclose()
        await self._caches.aclose()
        if self._recording is not None:
            self._recording.close()

    def close(self) -> None:
        """`aclose`, blocking, for users of `ask`."""
        if self._runner is not None:
            self._runner.run(self.aclose())
            self._runner.close()
            self._runner = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _plan(self, conversation: Conversation, instructions: str) -> TurnPlan:
        last = conversation.last_turn
        backend = self._load_backend(last)
        recalled = recall(self.settings, last, backend=backend.name, fixed=self._fixed, given=self._given)
        settings = recalled.settings
        terms = terms_of(settings, backend.name)
        _log.debug(
            "conversation %s: backend %s, model %s, mode %s; set by %s",
            conversation.id,
            backend.name,
            terms.model,
            terms.mode,
            ", ".join(sorted(set(self._sourced.origins.values()))) or "nothing",
        )
        chain = await self._models.chain(backend.name, settings=settings, progress=self.progress)
        tools = await self._opened[conversation].offered(terms.model)
        return TurnPlan(
            conversation=conversation,
            backend=backend,
            chain=chain,
            system=f"{self._system_prompt(tools, settings.mode)}\n\n{instructions}".strip(),
            tools=tools,
            gate=await self._toolkit.gate(settings.mode),
            approver=self.approver,
            masker=self._toolkit.masker,
            max_steps=settings.max_steps,
            max_cost=settings.max_cost,
            max_total_tokens=settings.max_total_tokens,
            max_seconds=settings.max_seconds,
            retry=settings.retry_policy,
            compaction=settings.compaction,
            cache=self._caches.for_turn(backend, stand_ins=self._models.stand_ins),
            recording=self._recording,
            terms=terms,
            notices=(f"Continuing with {', '.join(recalled.changes)}.",) if recalled.changes else (),
            take_news=self._toolkit.take_news,
        )

    def _system_prompt(self, tools: tuple[Tool, ...], mode: Mode) -> str:
        return system_prompt(
            user=self.environment.user,
            mode=mode,
            tools=tuple(tool.spec for tool in tools),
            today=date.today(),  # noqa: DTZ011  the person's own date
        )

    @property
    def _conversations(self) -> ConversationStore:
        if self._store is None:
            self._store = ConversationStore(self.environment.data_folder, database_url=self.settings.database_url)
        return self._store

    def _load_backend(self, last: TurnStarted | None) -> Backend:
        """The backend for the turn after `last`. One that was used and is no longer installed is not insisted on."""
        choice = self._choose_backend(last)
        if choice.name not in self._backends:
            self._backends[choice.name] = load_backend(choice)
        return self._backends[choice.name]

    def _choose_backend(self, last: TurnStarted | None) -> InstalledBackend:
        if last is not None and "backend" not in self._fixed:
            installed = installed_backends()
            if last.backend in {one.name for one in installed}:
                return choose_backend(installed, last.backend, asked_by="the conversation").backend
        return self.backend_choice.backend

    async def _begin(
        self,
        message: UserMessage | None,
        conversation: str | None,
        history: Iterable[Message] | None,
        instructions: str,
    ) -> Turn:
        """A turn for the message; for None one that compacts the conversation."""
        if history is not None or (conversation or self._conversation_id) is None:
            self._load_backend(None)  # nothing is written if it cannot be loaded
        self._conversations.warm_up()
        async with self._beginning:
            own = history is None and conversation in {None, self._conversation_id}
            held = await (self._own_conversation() if own else self._open_conversation(conversation))
            try:
                if conversation is None and (imported := tuple(history or ())):
                    await held.import_history(masked_history(imported, self._toolkit.masker))
                if message is None and not held.history():
                    raise UsageError("nothing to compact: this conversation is empty")
                plan = await self._plan(held, instructions)
                turn = CompactionTurn(plan) if message is None else Turn(plan, message)
            except BaseException:
                await self._release(held)
                raise
            self._turns.add(turn)
            return turn

    async def _own_conversation(self) -> Conversation:
        """Raises `UsageError` where a turn of it is under way."""
        if self._conversation is None:
            self._conversation = await self._open_conversation(self._conversation_id)
            self._conversation_id = self._conversation.id
        for turn in tuple(self._turns):
            if turn.conversation is self._conversation:
                if not turn.over:
                    raise UsageError("this conversation has a turn under way: wait for its end, or begin a new one")
                await turn.wait()
        return self._conversation

    async def _open_conversation(self, conversation: str | None) -> Conversation:
        """Open a conversation, a new one for None."""
        store = self._conversations
        log = await (store.create() if conversation is None else store.open(conversation))
        opened = await Conversation.open(log, Workspace(self._folder))
        self._opened[opened] = self._toolkit.equip(opened.id, opened.workspace)
        return opened

    async def _release(self, conversation: Conversation) -> None:
        """Close what is not the agent's own, unless the agent was closed before."""
        if conversation is not self._conversation and conversation in self._opened:
            await self._close(conversation)

    async def _close(self, conversation: Conversation) -> None:
        """End what runs in it, and let others write to it."""
        tools = self._opened.pop(conversation)
        try:
            await tools.close()
        finally:
            await conversation.close()


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("Agent.ask blocks, so it cannot be called in a running event loop: use `await agent.answer(…)`")


def _settings(environment: Environment, folder: Path, given: Mapping[str, Any], origins: Mapping[str, str]) -> Sourced:
    known = Settings.__struct_fields__
    for name in given:
        if name not in known:
            raise UsageError(f'there is no setting "{name}"; the settings are: {", ".join(known)}')
    options = {name: (value, origins.get(name, name)) for name, value in given.items() if value is not None}
    return load_settings(environment, folder=folder, options=options)


def _checked(message: UserMessage) -> UserMessage:
    if not any(isinstance(part, ImagePart) or part.text.strip() for part in message.content):
        raise UsageError("the request is empty: say what is to be done")
    return message
