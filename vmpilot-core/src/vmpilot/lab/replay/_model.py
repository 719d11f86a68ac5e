"""The model of a recorded turn: gives the recorded answers in order and compares each request."""

from __future__ import annotations

from collections.abc import Iterable

from vmpilot.contract import Event, MessageCompleted
from vmpilot.engine.recording import RecordedTurn
from vmpilot.lab.replay._differences import Difference, compare_messages, end_reason
from vmpilot.providers import chat_messages
from vmpilot.testing import Framing, HttpError, RecordedRequest, Reply, ScriptedCall, Step


class RecordedModel:
    """Gives a scripted server its steps. `misses` are sentences on requests that are not in the recording."""

    def __init__(self, recorded: RecordedTurn) -> None:
        self._calls = recorded.calls
        self._answers = [call.answer for call in recorded.calls] or _answers(recorded.events)
        self._ended_early = end_reason(recorded.events) not in {"answered", "denied", "limit"}
        self.asked = 0
        self.misses: list[str] = []
        self.differences: list[Difference] = []

    def answer(self, request: RecordedRequest) -> Step:
        """The step for one request; called in the server's thread, one request after the other."""
        number = self.asked
        self.asked += 1
        if number >= len(self._answers):
            if not self._ended_early:
                answers = len(self._answers)
                self.misses.append(f"Model call {number + 1} is not in the recording, which has {answers} answers.")
            return HttpError(400, "the recording ends here")
        if number < len(self._calls):
            call = self._calls[number]
            expected = chat_messages(call.messages, system=call.system)
            self.differences += compare_messages(number + 1, expected, request.messages)
        return _reply(self._answers[number])


def _answers(events: Iterable[Event]) -> list[MessageCompleted]:
    """The answers to a backend that calls the model itself."""
    return [event for event in events if isinstance(event, MessageCompleted) and event.message.finish != "cut"]


def _reply(answer: MessageCompleted) -> Reply:
    message, cut = answer.message, answer.message.finish == "cut"
    refused = message.finish == "refusal"
    return Reply(
        text="" if refused else message.text,
        refusal=message.text if refused else "",
        reasoning=message.reasoning,
        tool_calls=tuple(ScriptedCall(call.name, call.arguments, id=call.id) for call in message.tool_calls),
        usage=answer.usage,
        finish="stop" if refused else None if cut else message.finish,
        framing=Framing(finish=not cut),
    )
