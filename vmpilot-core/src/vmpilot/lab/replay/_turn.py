"""Replays a recorded turn on a backend: the model over real HTTP, the tools from the recording.

Runs nothing, asks nothing, and changes nothing outside a temporary folder.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from vmpilot.contract import Event, ModelSettings, RetryPolicy, Secret, UserMessage, VMPilotError
from vmpilot.engine import Conversation, Endpoint, FallbackChain, Turn, TurnPlan
from vmpilot.engine.recording import RecordedTurn
from vmpilot.lab.replay._differences import Difference, compare_events, end_reason
from vmpilot.lab.replay._model import RecordedModel
from vmpilot.lab.replay._tools import RecordedTools
from vmpilot.machine.secrets.masking import Masker
from vmpilot.machine.workspace import Workspace
from vmpilot.permissions import PermissionPolicy
from vmpilot.plugins import Backend
from vmpilot.store import ConversationStore
from vmpilot.testing import ScriptedServer


class RecordingMismatch(VMPilotError):
    """The backend did something for which the recording has no answer."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The result of a replay. `reason` is how it ended; `recorded_reason` is None if the recording ends earlier."""

    requests: int
    calls: int
    reason: str
    recorded_reason: str | None
    differences: tuple[Difference, ...]


async def replay_turn(recorded: RecordedTurn, backend: Backend) -> Replay:
    """Run the turn again on the backend. Raises `RecordingMismatch` if the recording lacks an answer that it needs."""
    model, tools = RecordedModel(recorded), RecordedTools(recorded)
    with tempfile.TemporaryDirectory(prefix="vmpilot-replay-") as folder:
        events = await _play(recorded, backend, model=model, tools=tools, folder=Path(folder))
    for miss in (*tools.misses, *model.misses):
        raise RecordingMismatch(miss)
    return Replay(
        requests=model.asked,
        calls=tools.used,
        reason=end_reason(events) or "failed",
        recorded_reason=end_reason(recorded.events),
        differences=(*model.differences, *compare_events(recorded.events, events)),
    )


async def _play(
    recorded: RecordedTurn, backend: Backend, *, model: RecordedModel, tools: RecordedTools, folder: Path
) -> list[Event]:
    """The turn's events, from a temporary conversation."""
    server = ScriptedServer([model.answer], strict=False, repeat_last=True, keep=0)
    store = ConversationStore(folder / "data")
    await asyncio.to_thread(server.start)
    try:
        *history, request = recorded.asked.messages
        conversation = await Conversation.open(await store.create(), Workspace(folder))
        await conversation.import_history(history)
        assert isinstance(request, UserMessage), "a turn begins with a user message"  # noqa: S101
        turn = Turn(_plan(recorded, backend, conversation, tools=tools, base_url=server.base_url), request)
        async with aclosing(turn.events()) as events:
            return [event async for event in events]
    finally:
        await store.close()
        await asyncio.to_thread(server.stop)


def _plan(
    recorded: RecordedTurn, backend: Backend, conversation: Conversation, *, tools: RecordedTools, base_url: str
) -> TurnPlan:
    asked = recorded.asked
    settings = ModelSettings(
        temperature=asked.temperature, max_tokens=asked.max_tokens, base_url=base_url, api_key=Secret("none")
    )
    return TurnPlan(
        conversation=conversation,
        backend=backend,
        chain=FallbackChain(Endpoint("openai/recorded", settings, asked.context_window)),
        system=asked.system,
        tools=tools.all,
        policy=PermissionPolicy("full", workspace=conversation.workspace.root, confines=lambda: False),
        approver=None,
        masker=Masker(()),
        max_steps=sys.maxsize,
        retry=RetryPolicy(attempts=1),
        compaction=asked.compaction,
    )
