"""The one place where settings, backend, tools, policy and store become an agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vmpilot.agent import Approver, Conversation, Turn, TurnPlan, masked_history
from vmpilot.config import Environment, Settings, Sourced, current_environment, load_settings
from vmpilot.contract import (
    EndReason,
    Event,
    ImagePart,
    Message,
    MessageCompleted,
    ModelError,
    ModelSettings,
    Secret,
    Tool,
    TurnEnded,
    TurnStarted,
    Usage,
    UsageError,
    UserMessage,
)
from vmpilot.local_model import LocalModelError, LocalServer, Progress, check_engine, ensure_weights
from vmpilot.plugins import Backend, BackendChoice, choose_backend, installed_backends, load_backend
from vmpilot.policy import Gate
from vmpilot.prompts import system_prompt
from vmpilot.store import ConversationStore
from vmpilot.tools import ShellTool
from vmpilot.tools.masking import Masker
from vmpilot.tools.shell_environment import child_environment, secret_values
from vmpilot.workspace import Workspace

LOCAL = "local"
"""The model that needs no key: `local`, or `local:/path/to/weights.gguf`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request. `error` is a sentence for the person where `reason` is not `answered`."""

    text: str
    reason: EndReason
    conversation_id: str
    usage: Usage
    cost: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where the model is: its name for the backend, and the settings that lead there."""

    model: str
    settings: ModelSettings


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
        environment: Environment | None = None,
        origins: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """`settings` are those of the configuration files (`model`, `backend`, `mode`, `base_url`, …).

        `conversation` is the id of one to go on with, or its beginning. `origins` names where a setting comes from,
        for errors. Raises `UsageError` for settings that do not exist or have the wrong type.
        """
        self.environment = environment or current_environment()
        self._folder = Workspace.at(Path(folder)).root
        self._sourced = _settings(self.environment, self._folder, settings, origins or {})
        self.approver = approver
        self.progress = progress
        self._conversation_id = conversation
        self._conversation: Conversation | None = None
        self._backend: Backend | None = None
        self._endpoint: _Endpoint | None = None
        self._beginning = asyncio.Lock()
        self._turns: set[Turn] = set()
        self._opened: set[Conversation] = set()
        self._open = AsyncExitStack()
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
            await self._opened.pop().close()
        self._conversation = None
        if self._store is not None:
            await self._store.close()
            self._store = None
        await self._open.aclose()
        self._endpoint = None

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

    def tools(self, workspace: Workspace) -> tuple[Tool, ...]:
        """The tools for a conversation in the workspace."""
        environment = child_environment(self.environment.variables, let_through=self.settings.pass_environment)
        return (ShellTool(workspace, environment),)

    async def _plan(self, conversation: Conversation, backend: Backend, instructions: str) -> TurnPlan:
        settings = self.settings
        endpoint = await self._find_model(backend)
        tools = self.tools(conversation.workspace)
        return TurnPlan(
            conversation=conversation,
            backend=backend,
            model=endpoint.model,
            settings=endpoint.settings,
            system=f"{self._system_prompt(tools)}\n\n{instructions}".strip(),
            tools=tools,
            gate=Gate(settings.mode),
            approver=self.approver,
            masker=self._masker,
            max_steps=settings.max_steps,
            retry=settings.retry_policy,
        )

    def _system_prompt(self, tools: tuple[Tool, ...]) -> str:
        return system_prompt(
            user=self.environment.user,
            mode=self.settings.mode,
            tools=tuple(tool.spec for tool in tools),
            today=date.today(),  # noqa: DTZ011  the person's own date
        )

    @property
    def _masker(self) -> Masker:
        settings = self.settings
        key = () if settings.api_key is None else (settings.api_key.reveal(),)
        url = {} if settings.database_url is None else {"VMPILOT_DATABASE_URL": settings.database_url.reveal()}
        return Masker((*secret_values(self.environment.variables), *secret_values(url), *key))

    @property
    def _conversations(self) -> ConversationStore:
        if self._store is None:
            self._store = ConversationStore(self.environment.data_folder, database_url=self.settings.database_url)
        return self._store

    def _load_backend(self) -> Backend:
        if self._backend is None:
            self._backend = load_backend(self.backend_choice.backend)
        return self._backend

    async def _begin(
        self, message: UserMessage, conversation: str | None, history: Iterable[Message] | None, instructions: str
    ) -> Turn:
        backend = self._load_backend()
        self._conversations.warm_up()
        async with self._beginning:
            own = history is None and conversation in {None, self._conversation_id}
            held = await (self._own_conversation() if own else self._open_conversation(conversation))
            try:
                if conversation is None and (imported := tuple(history or ())):
                    await held.import_history(masked_history(imported, self._masker))
                turn = Turn(await self._plan(held, backend, instructions), message)
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
        self._opened.add(opened)
        return opened

    async def _release(self, conversation: Conversation) -> None:
        """Close what is not the agent's own, unless the agent was closed before."""
        if conversation is not self._conversation and conversation in self._opened:
            self._opened.remove(conversation)
            await conversation.close()

    async def _find_model(self, backend: Backend) -> _Endpoint:
        if self._endpoint is None:
            self._endpoint = await self._prepare_model(self.settings.model_for(backend.name))
        return self._endpoint

    async def _prepare_model(self, model: str) -> _Endpoint:
        settings = self.settings
        base_url, api_key = settings.base_url, settings.api_key
        if model.partition(":")[0] == LOCAL:
            server = await self._start_local(model.partition(":")[2])
            model, base_url, api_key = f"openai/{server.model}", server.base_url, Secret(server.api_key)
        return _Endpoint(
            model,
            ModelSettings(
                temperature=settings.temperature,
                max_tokens=settings.max_tokens,
                reasoning_effort=settings.reasoning_effort,
                seed=settings.seed,
                base_url=base_url,
                api_key=api_key,
                time_limits=settings.time_limits,
            ),
        )

    async def _start_local(self, path: str) -> LocalServer:
        variables = self.environment.variables
        try:
            check_engine()
            folder = self.environment.cache_folder / "models"
            fetched = None if path else await ensure_weights(folder, progress=self.progress, environment=variables)
            server = await LocalServer.start(fetched or _file(path), progress=self.progress, environment=variables)
        except LocalModelError as error:
            raise ModelError(str(error)) from error
        self._open.push_async_callback(server.stop)
        return server


def _file(path: str) -> Path:
    return Path(path).expanduser()


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
