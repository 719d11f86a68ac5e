"""What surrounds one call to the model: its time, its tries, its bounds, and the models that may take its place."""

from vmpilot.agent.supervision.bounds import MAX_TEXT, TOO_LONG, Bounds, bounded, cut_message
from vmpilot.agent.supervision.endpoint import Endpoint, Fallback, ToolMode
from vmpilot.agent.supervision.lineup import Lineup
from vmpilot.agent.supervision.message_form import fitted
from vmpilot.agent.supervision.patience import Patience
from vmpilot.agent.supervision.strictness import check_answer
from vmpilot.agent.supervision.watch import WatchedStream

__all__ = [
    "MAX_TEXT",
    "TOO_LONG",
    "Bounds",
    "Endpoint",
    "Fallback",
    "Lineup",
    "Patience",
    "ToolMode",
    "WatchedStream",
    "bounded",
    "check_answer",
    "cut_message",
    "fitted",
]
