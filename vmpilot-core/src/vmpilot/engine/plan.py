"""The inputs of a turn, apart from the user's message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vmpilot.cache import TurnCache
from vmpilot.contract import RetryPolicy, Tool, TurnTerms
from vmpilot.engine.calls import FallbackChain
from vmpilot.engine.conversation import Conversation
from vmpilot.engine.recording import RecordingWriter
from vmpilot.engine.toolbox import Approver
from vmpilot.machine.secrets.masking import Masker
from vmpilot.permissions import PermissionPolicy
from vmpilot.plugins import Backend


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """`chain` holds the models and is consumed by the turn; `max_cost` is in US dollars; None means no limit.

    `terms` are recorded with the turn; `notices` are sentences for the user that are shown at its start. `take_news`
    returns sentences for the user about changes to the tools since its last call.
    """

    conversation: Conversation
    backend: Backend
    chain: FallbackChain
    system: str
    tools: Sequence[Tool]
    policy: PermissionPolicy
    approver: Approver | None
    masker: Masker
    max_steps: int
    retry: RetryPolicy
    max_cost: float | None = None
    max_total_tokens: int | None = None
    max_seconds: float | None = None
    compaction: bool = True
    cache: TurnCache | None = None
    recording: RecordingWriter | None = None
    terms: TurnTerms | None = None
    notices: tuple[str, ...] = ()
    take_news: Callable[[], Sequence[str]] = tuple
