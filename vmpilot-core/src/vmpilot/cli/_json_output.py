"""Output for programs: one JSON object at the end, or one event per line."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from vmpilot.cli._console import Console
from vmpilot.cli._streams import print_json
from vmpilot.contract import (
    ApprovalRequested,
    Event,
    HistoryCompacted,
    LimitReached,
    MessageCompleted,
    Notice,
    TurnEnded,
    TurnStarted,
    encode_event,
)


class JsonLines:
    """`--output jsonl`: the events in their wire form, as they happen."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def show(self, event: Event) -> None:
        print_json(encode_event(event))
        if isinstance(event, ApprovalRequested):
            await self._console.show(event)


class JsonObject:
    """`--output json`: the result of the request, when it has ended; errors also go to standard error."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._result: dict[str, Any] = {"answer": ""}

    async def show(self, event: Event) -> None:
        match event:
            case TurnStarted():
                self._result |= {
                    "conversation_id": event.conversation_id,
                    "backend": event.backend,
                    "model": event.model,
                }
            case MessageCompleted():
                self._result["answer"] = event.message.text
            case HistoryCompacted():
                self._result["compacted"] = {"before": event.tokens_before, "after": event.tokens_after}
            case LimitReached():
                await self._console.show(event)
                self._result["limit"] = msgspec.structs.asdict(event)
            case ApprovalRequested() | Notice():
                await self._console.show(event)
            case TurnEnded():
                await self._console.show(event)
                ended = msgspec.to_builtins(event)
                self._result |= {key: ended.get(key) for key in ("reason", "error", "cost")}
                self._result["usage"] = msgspec.structs.asdict(event.usage)
                self._result |= {"steps": event.steps, "seconds": round(event.seconds, 3)}
                print(json.dumps(self._result), flush=True)
            case _:
                pass
