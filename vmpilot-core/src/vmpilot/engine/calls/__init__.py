"""Parts of one supervised call to the model: time limits, retries, bounds, and fallback models."""

from vmpilot.engine.calls._backoff import Backoff
from vmpilot.engine.calls._emitter import Emitter
from vmpilot.engine.calls._endpoint import Endpoint, Fallback, ToolMode
from vmpilot.engine.calls._fallback_chain import FallbackChain
from vmpilot.engine.calls._timed_stream import TimedStream
from vmpilot.engine.calls.bounds import TOO_LONG, Bounds, cut_message

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
