"""What surrounds one call to the model: its time, its tries, its bounds, and the models that may take its place."""

from vmpilot.engine.calls.bounds import TOO_LONG, Bounds, cut_message
from vmpilot.engine.calls.emitter import Emitter
from vmpilot.engine.calls.endpoint import Endpoint, Fallback, ToolMode
from vmpilot.engine.calls.lineup import Lineup
from vmpilot.engine.calls.patience import Patience
from vmpilot.engine.calls.strictness import check_answer
from vmpilot.engine.calls.watch import WatchedStream

__all__ = [
    "TOO_LONG",
    "Bounds",
    "Emitter",
    "Endpoint",
    "Fallback",
    "Lineup",
    "Patience",
    "ToolMode",
    "WatchedStream",
    "check_answer",
    "cut_message",
]
