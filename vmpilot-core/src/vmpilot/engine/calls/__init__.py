"""What surrounds one call to the model: its time, its tries, its bounds, and the models that may take its place."""

from vmpilot.engine.calls.backoff import Backoff
from vmpilot.engine.calls.bounds import TOO_LONG, Bounds, cut_message
from vmpilot.engine.calls.emitter import Emitter
from vmpilot.engine.calls.endpoint import Endpoint, Fallback, ToolMode
from vmpilot.engine.calls.fallback_chain import FallbackChain
from vmpilot.engine.calls.timed_stream import TimedStream

__all__ = [
    "TOO_LONG",
    "Bounds",
    "Emitter",
    "Endpoint",
    "Fallback",
    "FallbackChain",
    "Backoff",
    "ToolMode",
    "TimedStream",
    "cut_message",
]
