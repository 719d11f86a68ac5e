"""The agent: settings, a backend and conversations."""

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

from vmpilot.app._cache_factory import CacheFactory
from vmpilot.app._memory import recall, terms_of
from vmpilot.app._model_resolver import ModelResolver
from vmpilot.app._tool_registry import SessionTools, ToolRegistry, ToolReport
from vmpilot.config import (
    ApprovalsFile,
    Environment,
    Settings,
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
from vmpilot.plugins import (
    Backend,
    BackendChoice,
    choose_backend,
    installed_backends,
    load_backend,
)
from vmpilot.store import ConversationStore
from vmpilot.tools.mcp import ServerReport

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a request. `error` is a sentence for the user unless `reason` is `answered`."""

    text: str
    reason: EndReason
    conversation_id: str
    usage: Usage
    cost: float | None
    error: str | None


class Agent:
    """VMPilot as a library: settings, a backend, and a conversation that continues from `run` to `run`.

    Settings that are not given come from the environment and the configuration files, as on the command line.
    `approver` decides on actions that need approval; without one they are denied. `progress` is called during long
    preparations, such as loading the local model. Close the agent, or use it as a context manager.
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

        `conversation` is the id of a conversation to continue, or the start of one. `record` is a new file in which
        the turns are recorded. `origins` names where each setting comes from, for errors. Raises `UsageError` for
        settings that do not exist or have the wrong type.
        """
        self.environment = environment or current_environment()
        self._folder = Workspace.at(Path(folder)).root
        known = Settings.__struct_fields__
        if unknown := settings.keys() - set(known):
            raise UsageError(f'Unknown setting "{min(unknown)}". The settings are: {", ".join(known)}.')
        given = {
            name: (value, (origins or {}).get(name, name)) for name, value in settings.items() if value is not None
        }
        self._loaded = load_settings(self.environment, folder=self._folder, options=given)
        self._given = frozenset(given)
        self._fixed = self._given | self.environment.values().keys()
        self.approver = approver
        self.progress = progress
        self._conversation_id = conversation
        self._conversation: Conversation | None = None
        self._backends: dict[str, Backend] = {}
        self._beginning = asyncio.Lock()
        self._turns: set[Turn] = set()
        self._opened: dict[Conversation, SessionTools] = {}
        self._models = ModelResolver(self._loaded.settings, self.environment)
        self._caches = CacheFactory(self._loaded.settings, self.environment)
        self._registry = ToolRegistry(self._loaded.settings, self.environment, self._folder)
        self._recording = None if record is None else RecordingWriter(Path(record), mask=self._registry.masker.mask)
        self._runner: asyncio.Runner | None = None
        self._store: ConversationStore | None = None

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._loaded.settings

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the next `run` continues; None before the first one."""
        return self._conversation_id

    @property
    def backend_choice(self) -> BackendChoice:
        """The backend that is used, and why. Raises `BackendError` if none exists."""
        return choose_backend(
            installed_backends(), self.settings.backend, asked_by=self._loaded.origins.get("backend", "")
        )

    async def run(
        self,
        request: str | UserMessage,
        *,
        conversation: str | None = None,
        history: Iterable[Message] | None = None,
        instructions: str = "",
    ) -> AsyncGenerator[Event, None]:
        """Run one turn and yield its events; closing the iterator ends the turn and its commands.

        The turn belongs to the agent's own conversation, or to `conversation` (an id), or, if `history` is given (even
        an empty one), to a new conversation that starts with these messages. `instructions` are appended to the system
        prompt. Raises the contract's errors if the turn cannot begin; after `TurnStarted` nothing is raised, and
        `TurnEnded` has the outcome.
        """
        message = UserMessage.from_text(request) if isinstance(request, str) else request
        if not any(isinstance(part, ImagePart) or part.text.strip() for part in message.content):
            raise UsageError("The request is empty.")
        turn = await self._begin(message, conversation, history, instructions)
        async with aclosing(self._events_of(turn)) as events:
            async for event in events:
                yield event

    async def compact(self) -> AsyncGenerator[Event, None]:
        """Summarize the agent's own conversation now and yield the events; `HistoryCompacted` has the result.

        Raises `UsageError` if the conversation is empty, and what `run` raises.
        """
        if self._conversation_id is None:
            raise UsageError("No conversation to compact. To compact the last one, run `vmpilot -c /compact`.")
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
        """Run one turn of the agent's own conversation and return its result."""
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
        masker = self._registry.masker
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
            raise ModelError(f"No answer within {self.settings.max_seconds:g} s (max_seconds).") from error
        return masker.mask(answer.text)

    def ask(self, request: str | UserMessage) -> Answer:
        """`answer` for synchronous programs. Raises `RuntimeError` in a running event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError("Agent.ask cannot be called in a running event loop. Use `await agent.answer(…)`.")
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self.answer(request))

    async def resume_latest(self) -> None:
        """Continue the last used conversation with the next `run`. Raises `UsageError` if none exists."""
        self._conversation_id = await self._conversations.latest()

    async def resume_fork(self) -> None:
        """Continue a copy of the conversation with the next `run`. Raises `UsageError` if none exists."""
        if self._conversation_id is None:
            raise UsageError("No conversation to fork. Name one with -r, or use -c for the last one.")
        self._conversation_id = (await self._conversations.fork(self._conversation_id)).id

    async def list_tools(self) -> tuple[tuple[ToolReport, ...], tuple[str, ...]]:
        """All tools, available or not, and the problems of plugins and MCP servers."""
        return await self._registry.report(), self._registry.problems

    async def check_servers(self) -> tuple[ServerReport, ...]:
        """Start the configured MCP servers and report on each."""
        return await self._registry.check_servers()

    def mask(self, text: str) -> str:
        """The text with all secrets replaced that the agent knows or that look like one."""
        return self._registry.masker.mask(text)

    def save_rules(self, rules: tuple[str, ...]) -> None:
        """Save these rules for this project, as the user's "always". Raises `UsageError` if they cannot be written."""
        ApprovalsFile(self.environment.config_folder).save_rules(project_root(self._folder), rules)
        self._registry.add_rules(rules)

    @property
    def recording_problem(self) -> str | None:
        """Why the recording is incomplete; None if it is complete, or nothing is recorded."""
        return None if self._recording is None else self._recording.problem

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences for the user about the settings, such as rules of a project that are not used."""
        return (*self._loaded.remarks, *self._caches.remarks)

    @property
    def job_notes(self) -> tuple[str, ...]:
        """Sentences for the user about running background jobs: whether `aclose` stops each or leaves it running."""
        return tuple(note for tools in self._opened.values() for note in tools.describe_jobs())

    def stop(self) -> bool:
        """Interrupt all running turns; each ends with a `TurnEnded` for the reason `interrupted`.

        Returns whether a turn was running.
        """
        for turn in self._turns:
            turn.stop()
        return bool(self._turns)

    async def wait(self) -> None:
        """Wait until no turn is running."""
        for turn in tuple(self._turns):
            await turn.wait()

    async def aclose(self) -> None:
        """Interrupt running turns, close the conversations, and stop everything that the agent started."""
        self.stop()
        await self.wait()
        while self._opened:
            await self._close(next(iter(self._opened)))
        self._conversation = None
        if self._store is not None:
            await self._store.close()
            self._store = None
        await self._registry.aclose()
        await self._models.aclose()
        await self._caches.aclose()
        if self._recording is not None:
            self._recording.close()

    def close(self) -> None:
        """`aclose` for users of `ask`."""
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
            ", ".join(sorted(set(self._loaded.origins.values()))) or "nothing",
        )
        chain = await self._models.chain(backend.name, settings=settings, progress=self.progress)
        tools = await self._opened[conversation].offered(terms.model)
        system = system_prompt(
            user=self.environment.user,
            mode=settings.mode,
            tools=tuple(tool.spec for tool in tools),
            today=date.today(),  # noqa: DTZ011  the user's local date
        )
        return TurnPlan(
            conversation=conversation,
            backend=backend,
            chain=chain,
            system=f"{system}\n\n{instructions}".strip(),
            tools=tools,
            policy=await self._registry.policy(settings.mode),
            approver=self.approver,
            masker=self._registry.masker,
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
            take_news=self._registry.take_news,
        )

    @property
    def _conversations(self) -> ConversationStore:
        if self._store is None:
            self._store = ConversationStore(self.environment.data_folder, database_url=self.settings.database_url)
        return self._store

    def _load_backend(self, last: TurnStarted | None) -> Backend:
        """The backend for the turn after `last`: the same one, unless it is no longer installed."""
        installed = installed_backends()
        if last is not None and "backend" not in self._fixed and last.backend in {one.name for one in installed}:
            choice = choose_backend(installed, last.backend, asked_by="the conversation").backend
        else:
            choice = self.backend_choice.backend
        if choice.name not in self._backends:
            self._backends[choice.name] = load_backend(choice)
        return self._backends[choice.name]

    async def _begin(
        self,
        message: UserMessage | None,
        conversation: str | None,
        history: Iterable[Message] | None,
        instructions: str,
    ) -> Turn:
        """A turn for the message; None compacts the conversation."""
        if history is not None or (conversation or self._conversation_id) is None:
            self._load_backend(None)  # before anything is written
        self._conversations.warm_up()
        async with self._beginning:
            own = history is None and conversation in {None, self._conversation_id}
            held = await (self._own_conversation() if own else self._open_conversation(conversation))
            try:
                if conversation is None and (imported := tuple(history or ())):
                    await held.import_history(masked_history(imported, self._registry.masker))
                if message is None and not held.history():
                    raise UsageError("Nothing to compact: the conversation is empty.")
                plan = await self._plan(held, instructions)
                turn = CompactionTurn(plan) if message is None else Turn(plan, message)
            except BaseException:
                await self._release(held)
                raise
            self._turns.add(turn)
            return turn

    async def _own_conversation(self) -> Conversation:
        """Raises `UsageError` while a turn of it is running."""
        if self._conversation is None:
            self._conversation = await self._open_conversation(self._conversation_id)
            self._conversation_id = self._conversation.id
        for turn in tuple(self._turns):
            if turn.conversation is self._conversation:
                if not turn.over:
                    raise UsageError(
                        "This conversation already has a running turn. Wait for it to end, or start a new conversation."
                    )
                await turn.wait()
        return self._conversation

    async def _open_conversation(self, conversation: str | None) -> Conversation:
        """Open a conversation; None creates one."""
        store = self._conversations
        log = await (store.create() if conversation is None else store.open(conversation))
        opened = await Conversation.open(log, Workspace(self._folder))
        self._opened[opened] = self._registry.equip(opened.id, opened.workspace)
        return opened

    async def _release(self, conversation: Conversation) -> None:
        """Close a conversation that is not the agent's own, unless the agent was closed before."""
        if conversation is not self._conversation and conversation in self._opened:
            await self._close(conversation)

    async def _close(self, conversation: Conversation) -> None:
        """Stop what runs in it, and release the log for other writers."""
        tools = self._opened.pop(conversation)
        try:
            await tools.close()
        finally:
            await conversation.close()
