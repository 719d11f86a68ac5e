"""One turn, from the user's message to `TurnEnded`: the same for every backend."""

from vmpilot.engine.calls import Endpoint, Fallback, Lineup
from vmpilot.engine.compaction_turn import CompactionTurn
from vmpilot.engine.conversation import Conversation
from vmpilot.engine.plain_call import ask_plainly
from vmpilot.engine.plan import TurnPlan
from vmpilot.engine.secrecy import masked_history
from vmpilot.engine.toolbox import Approver
from vmpilot.engine.turn import Turn

__all__ = [
    "Approver",
    "CompactionTurn",
    "Conversation",
    "Endpoint",
    "Fallback",
    "Lineup",
    "Turn",
    "TurnPlan",
    "ask_plainly",
    "masked_history",
]
