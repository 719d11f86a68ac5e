"""One call to the model and its answer, within time limits and bounds, with the text protocol if the model needs it."""

from __future__ import annotations

import msgspec

from vmpilot.contract import (
    AssistantMessage,
    BadResponse,
    Finish,
    MessageCompleted,
    ModelCall,
    StreamInterrupted,
    StreamOnce,
)
from vmpilot.engine.calls._emitter import Emitter
from vmpilot.engine.calls._timed_stream import TimedStream
from vmpilot.engine.calls.bounds import Bounds, cut_message
from vmpilot.engine.calls.message_form import MessageForm, with_stored_ids
from vmpilot.engine.text_tools import CallMark, TextToolsAnswer, without_tools


async def read_answer(
    stream_once: StreamOnce, call: ModelCall, emit: Emitter, *, form: MessageForm, mark: CallMark | None = None
) -> MessageCompleted:
    """Send the call in this form, emit the chunks of the answer, and return its message.

    With a `mark`, the model writes tool calls in its text.

    Raises `ModelTimeout`, `BadResponse` if the stream ends without a message, and the backend's errors. An answer that
    exceeds the bounds ends in `length`; if it is not read to its end, its usage is unknown.
    """
    text_tools = None if mark is None or not call.tools else TextToolsAnswer(call, mark)
    sent, stored_ids = form.fit(call if mark is None or text_tools is None else without_tools(call, mark))
    bounds = Bounds()
    completed: MessageCompleted | None = None
    async with TimedStream(stream_once(sent), sent) as stream:
        while completed is None and not bounds.exceeded and not (text_tools and text_tools.is_over):
            match bounds.fit(await stream.next_event()):
                case MessageCompleted() as event:
                    completed = with_stored_ids(event, stored_ids)
                case None:
                    pass
                case event:
                    for piece in (event,) if text_tools is None else text_tools.take(event):
                        emit(piece)
    if bounds.exceeded:
        emit(bounds.exceeded)
    if completed is None:
        finish: Finish = "length" if bounds.exceeded else "stop"
        completed = MessageCompleted(emit.message(finish, with_calls=text_tools is None))
    if text_tools is not None:
        for piece in text_tools.finish(completed.message):
            emit(piece)
        message = text_tools.complete(completed.message, text=emit.text)
        completed = msgspec.structs.replace(completed, message=message)
    if cut := cut_message(completed):
        notice, completed = cut
        emit(notice)
    return completed


def check_answer(message: AssistantMessage) -> None:
    """Raises `StreamInterrupted` or `BadResponse` if the message has no proper end or no content."""
    if message.finish == "cut":
        raise StreamInterrupted("the model's answer was cut off")
    if message.finish == "tool_calls" and not message.tool_calls:
        raise BadResponse("the model announced tool calls but sent none")
    if message.ended_properly and not message.text.strip() and not message.tool_calls:
        only = "only reasoning, no answer" if message.reasoning else "an empty answer"
        raise BadResponse(f"the model returned {only}")
