"""The tools of a recorded turn: calls get their results from the recording, and nothing is run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from vmpilot.contract import (
    Acts,
    Effect,
    Event,
    MessageCompleted,
    ToolCall,
    ToolError,
    ToolFinished,
    ToolOutcome,
    ToolSpec,
    ToolUse,
)
from vmpilot.engine.recording import RecordedTurn
from vmpilot.lab.replay._differences import canonical, canonical_arguments


class RecordedTools:
    """The tools of a recorded turn. `misses` are sentences on calls that are not in the recording."""

    def __init__(self, recorded: RecordedTurn) -> None:
        self._results = _results(recorded.events)
        self.all = tuple(_RecordedTool(spec, self) for spec in recorded.asked.tools)
        self.used = 0
        self.misses: list[str] = []

    def take(self, name: str, arguments: Mapping[str, Any]) -> ToolFinished:
        """The next recorded result of this call. Raises `ToolError` if none exists."""
        left = self._results.get((name, canonical(arguments)))
        if not left:
            self.misses.append(f"The recording has no result for {name} with {canonical(arguments)[:500]}")
            raise ToolError("the recording has no result for this call")
        self.used += 1
        return left.popleft()


class _RecordedTool:
    """One of the recorded tools."""

    folder = None

    def __init__(self, spec: ToolSpec, recording: RecordedTools) -> None:
        self.spec = spec
        self._recording = recording

    def title(self, _arguments: Mapping[str, Any]) -> str:
        return self.spec.name

    def effect(self, _arguments: Mapping[str, Any]) -> Effect:
        return Acts()

    async def run(self, arguments: Mapping[str, Any], _use: ToolUse) -> ToolOutcome:
        finished = self._recording.take(self.spec.name, arguments)
        result = finished.result
        return ToolOutcome(result.text, is_error=result.is_error, exit_code=finished.exit_code)


def _results(events: Iterable[Event]) -> dict[tuple[str, str], deque[ToolFinished]]:
    """The results in order, by tool and arguments."""
    calls: dict[str, ToolCall] = {}
    results: dict[tuple[str, str], deque[ToolFinished]] = {}
    for event in events:
        match event:
            case MessageCompleted():
                calls |= {call.id: call for call in event.message.tool_calls}
            case ToolFinished() if call := calls.get(event.result.call_id):
                results.setdefault((call.name, canonical_arguments(call.arguments)), deque()).append(event)
            case _:
                pass
    return results
