"""For backend authors and VMPilot's own tests: a scripted model, fakes for the core, and the conformance suite."""

from vmpilot.testing.conformance import BackendConformance
from vmpilot.testing.fakes import PlainModelCalls, RetryingModelCalls, ScriptedToolbox, stream_turn
from vmpilot.testing.grammar import check_backend_events, check_turn
from vmpilot.testing.playing import CannotPlay, PlayedModel, ScriptedModel, ScriptPlayer, ServedModel
from vmpilot.testing.recording import RecordedRequest
from vmpilot.testing.script import (
    Drop,
    Flood,
    Framing,
    HttpError,
    Raw,
    Reply,
    ScriptedCall,
    Stall,
    Step,
    StepMaker,
    Wire,
)
from vmpilot.testing.scripted import ScriptedServer
from vmpilot.testing.strict import history_faults

__all__ = [
    "BackendConformance",
    "CannotPlay",
    "Drop",
    "Flood",
    "Framing",
    "HttpError",
    "PlainModelCalls",
    "PlayedModel",
    "Raw",
    "RecordedRequest",
    "Reply",
    "ScriptPlayer",
    "ScriptedCall",
    "ScriptedModel",
    "ScriptedServer",
    "ScriptedToolbox",
    "ServedModel",
    "Stall",
    "Step",
    "StepMaker",
    "RetryingModelCalls",
    "Wire",
    "check_backend_events",
    "check_turn",
    "history_faults",
    "stream_turn",
]
