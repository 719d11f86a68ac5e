"""One turn, from the user's message to `TurnEnded`: the same for every backend."""

from vmpilot.engine.calls import Endpoint, Fallback, FallbackChain
from vmpilot.engine.compaction_turn import CompactionTurn
from vmpilot.engine.conversation import Conversation
from vmpilot.engine.plan import TurnPlan
from vmpilot.engine.secrecy import masked_history
from vmpilot.engine.single_call import ask_without_tools
from vmpilot.engine.toolbox import Approver
from vmpilot.engine.turn import Turn

__all__ = [
    "Approver",
    "CompactionTurn",
    "Conversation",
    "Endpoint",
    "Fallback",
    "FallbackChain",
    "Turn",
    "TurnPlan",
    "ask_without_tools",
    "masked_history",
]
