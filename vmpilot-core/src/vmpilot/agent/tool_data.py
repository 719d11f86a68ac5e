"""Tool output as the model gets it: marked as data by a boundary that its author cannot guess.

Whoever wrote a file, a page or a program's output does not know the boundary of the call that reads it, so nothing in
it can pretend to stand outside; marks by which models tell who speaks are made harmless.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

from vmpilot.contract import ToolResult

_ROLE_MARK = re.compile(
    r"<(?=\|[A-Za-z_]{1,40}\||\uff5c|/?(?:system|assistant|tool_call|tool_response|tool_result|function_calls"
    r"|function_results|start_of_turn|end_of_turn|output-[0-9a-f]{6,})\b|<SYS>|</SYS>)|\[(?=/?INST\])",
    re.IGNORECASE,
)
"""Of chat templates (ChatML, Llama, Mistral, Gemma, DeepSeek) and of our own boundary."""


def as_data(result: ToolResult, *, conversation_id: str) -> ToolResult:
    """The result between boundaries; a denial is our own word and stays as it is."""
    if result.denied:
        return result
    mark = f"output-{_boundary(conversation_id, result.call_id)}"
    text = _ROLE_MARK.sub(lambda found: found[0] + "\\", result.text)
    return msgspec.structs.replace(result, text=f"<{mark}>\n{text}\n</{mark}>")


def _boundary(conversation_id: str, call_id: str) -> str:
    """The same each time that the call is sent, so that providers can cache what they were sent before."""
    return hashlib.sha256(f"{conversation_id}\n{call_id}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
