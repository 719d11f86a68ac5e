"""One turn, from the user's message to `TurnEnded`: the same for every backend."""

from vmpilot.agent.compaction_turn import CompactionTurn
from vmpilot.agent.conversation import Conversation
from vmpilot.agent.plain_call import ask_plainly
from vmpilot.agent.plan import TurnPlan
from vmpilot.agent.secrecy import masked_history
from vmpilot.agent.supervision import Endpoint, Fallback, Lineup
from vmpilot.agent.toolbox import Approver
from vmpilot.agent.turn import Turn

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
