"""The result of a server's tool as bounded text for the model: text unchanged, everything else described.

Read from the raw result, so that a server that is newer or sloppier than the SDK loses no text.
Format: https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vmpilot.contract import ToolOutcome
from vmpilot.machine.processes.output import OutputBuffer, plain_text
from vmpilot.tools.mcp._naming import cut, visible, visible_line

_LONGEST_KIND = 80


def read_result(result: Mapping[str, Any]) -> ToolOutcome:
    """The outcome of an answered call."""
    content = result.get("content")
    blocks = content if isinstance(content, list) else [] if content is None else [content]
    texts = [_describe(block) for block in blocks]
    structured = result.get("structuredContent")
    if structured is not None and not _says(texts, structured):
        texts.append(_json(structured))
    if not texts and (rest := {key: value for key, value in result.items() if key not in _ENVELOPE}):
        texts.append(f"[a result without content]\n{_json(rest)}")
    kept = OutputBuffer()
    kept.append(plain_text("\n".join(texts)))
    is_error = result.get("isError") not in _NO_ERROR
    return ToolOutcome(kept.capped().text or "[the tool returned nothing]", is_error=is_error)


_ENVELOPE = frozenset({"content", "structuredContent", "isError", "_meta", "resultType"})
_NO_ERROR = (None, False, "false")


def _says(texts: list[str], content: Any) -> bool:
    """Whether a text has the same content, as servers send it for older clients: as JSON, or, if the content is an
    object with only a result, that result.
    """
    inner = content["result"] if isinstance(content, dict) and content.keys() == {"result"} else content
    return any(text == inner or _is_json_of(text, content, inner) for text in texts)


def _is_json_of(text: str, *values: Any) -> bool:
    try:
        return json.loads(text) in values
    except (ValueError, RecursionError):
        return False


def _describe(block: Any) -> str:
    match block:
        case str():
            return block
        case {"type": "text", "text": text}:
            return text if isinstance(text, str) else _json(text)
        case {"type": "image" | "audio" as kind}:
            return _left_out(kind, block.get("mimeType"), block.get("data"))
        case {"type": "resource_link", "uri": str(uri)}:
            about = block.get("description")
            return f"[link to {visible_line(uri)}{f': {visible(about)}' if isinstance(about, str) and about else ''}]"
        case {"type": "resource", "resource": {"uri": str(uri)} as resource}:
            where, text = visible_line(uri), resource.get("text")
            binary = _left_out(where, resource.get("mimeType") or "binary", resource.get("blob"))
            return f"[{where}]\n{text}" if isinstance(text, str) else binary
        case _:
            return _describe_other(block) if isinstance(block, dict) else _json(block)


def _describe_other(block: Mapping[str, Any]) -> str:
    """A block that is malformed or of unknown type: its type, and its text, if any."""
    kind = block.get("type")
    name = cut(visible_line(kind), _LONGEST_KIND) if isinstance(kind, str) and kind else "untyped"
    if isinstance(text := block.get("text"), str):
        return f"[content of unknown type {name}]\n{text}" if name != "untyped" else text
    known = name in {"text", "resource", "resource_link"}
    return f"[malformed {name} content: not shown]" if known else f"[content of unknown type {name}: not shown]"


def _left_out(what: str, kind: Any, base64: Any) -> str:
    named = visible_line(kind) if isinstance(kind, str) else "of unknown type"
    size = len(base64) * 3 // 4 if isinstance(base64, str) else 0
    return f"[{what}, {named}, {size:,} bytes: not shown, results are text only]"


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "[content nested too deeply to show]"
