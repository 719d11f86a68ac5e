"""For backend authors and for our own tests: an OpenAI-compatible server that answers from a script."""

from vmpilot.testing.recording import RecordedRequest
from vmpilot.testing.script import Drop, Framing, HttpError, Raw, Reply, ScriptedCall, Stall, Step, StepMaker
from vmpilot.testing.scripted import ScriptedServer
from vmpilot.testing.strict import history_faults

__all__ = [
    "Drop",
    "Framing",
    "HttpError",
    "Raw",
    "RecordedRequest",
    "Reply",
    "ScriptedCall",
    "ScriptedServer",
    "Stall",
    "Step",
    "StepMaker",
    "history_faults",
]
