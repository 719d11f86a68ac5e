"""Tool output as sent to the model: marked as data by a boundary that its author cannot guess.

The author of a file, a page or a program's output does not know the boundary of the call that reads it, so nothing in
it can pretend to be outside; role markers of chat templates are made harmless.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from vmpilot.contract import Message, ToolResult

_ROLE_MARK = re.compile(
    r"<(?=\|[A-Za-z_]{1,40}\||\uff5c|/?(?:system|assistant|tool_call|tool_response|tool_result|function_calls"
    r"|function_results|start_of_turn|end_of_turn|output-[0-9a-f]{6,})\b|<SYS>|</SYS>)|\[(?=/?INST\])",
    re.IGNORECASE,
)
"""Of chat templates (ChatML, Llama, Mistral, Gemma, DeepSeek) and of VMPilot's boundary."""
_MARKED = re.compile(r"<(?P<mark>output-[0-9a-f]{12})>\n(?P<text>.*)\n</(?P=mark)>(?P<remark>(?:\n.*)?)", re.DOTALL)


def as_data(result: ToolResult, *, conversation_id: str) -> ToolResult:
    """The result between boundaries, followed by VMPilot's remark; a denial, which is VMPilot's text, needs none."""
    remark = f"\n{result.remark}" if result.remark else ""
    if result.denied:
        return msgspec.structs.replace(result, text=result.text + remark, remark="") if remark else result
    mark = f"output-{_boundary(conversation_id, result.call_id)}"
    text = _ROLE_MARK.sub(lambda found: found[0] + "\\", result.text)
    return msgspec.structs.replace(result, text=f"<{mark}>\n{text}\n</{mark}>{remark}", remark="")


def without_boundary(message: Message) -> Message:
    """The message in a form comparable across conversations: without the boundaries that `as_data` adds."""
    if not isinstance(message, ToolResult) or (found := _MARKED.fullmatch(message.text)) is None:
        return message
    return msgspec.structs.replace(message, text=found["text"] + found["remark"])


def _boundary(conversation_id: str, call_id: str) -> str:
    """The same each time that the call is sent, so that providers can cache earlier messages."""
    return hashlib.sha256(f"{conversation_id}\n{call_id}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
