"""What a server's tool gave, as text for the model: text as it is, everything else said plainly, all of it bounded.

Read from the raw result: a server that is newer or sloppier than the SDK must not cost the text that it did send.
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
    """The outcome of a call that was answered."""
    texts = [_describe(block) for block in _blocks(result.get("content"))]
    structured = result.get("structuredContent")
    if structured is not None and not _says(texts, structured):
        texts.append(_json(structured))
    if not texts and (rest := {key: value for key, value in result.items() if key not in _ENVELOPE}):
        texts.append(f"[a result without content]\n{_json(rest)}")
    kept = OutputBuffer()
    kept.append(plain_text("\n".join(texts)))
    is_error = result.get("isError") not in _NO_ERROR
    return ToolOutcome(kept.capped().text or "[the tool gave nothing]", is_error=is_error)


_ENVELOPE = frozenset({"content", "structuredContent", "isError", "_meta", "resultType"})
_NO_ERROR = (None, False, "false")


def _blocks(content: Any) -> list[Any]:
    match content:
        case None:
            return []
        case list():
            return content
        case _:
            return [content]


def _says(texts: list[str], content: Any) -> bool:
    """Whether one of the texts says the same, as servers send it for older clients: as JSON, or, where the content is
    but a result in an object, that result.
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
        case {"type": "resource", "resource": {"uri": str(uri)}}:
            return _describe_resource(visible_line(uri), block["resource"])
        case _:
            return _describe_other(block) if isinstance(block, dict) else _json(block)


def _describe_resource(where: str, resource: Mapping[str, Any]) -> str:
    if isinstance(text := resource.get("text"), str):
        return f"[{where}]\n{text}"
    return _left_out(where, resource.get("mimeType") or "binary", resource.get("blob"))


def _describe_other(block: Mapping[str, Any]) -> str:
    """A block that is malformed or of an unknown kind: its name, and its text if it has one."""
    kind = block.get("type")
    name = cut(visible_line(kind), _LONGEST_KIND) if isinstance(kind, str) and kind else "untyped"
    if isinstance(text := block.get("text"), str):
        return f"[content of the unknown kind {name}]\n{text}" if name != "untyped" else text
    known = name in {"text", "resource", "resource_link"}
    return f"[malformed {name} content: not shown]" if known else f"[content of the unknown kind {name}: not shown]"


def _left_out(what: str, kind: Any, base64: Any) -> str:
    named = visible_line(kind) if isinstance(kind, str) else "of unknown type"
    size = len(base64) * 3 // 4 if isinstance(base64, str) else 0
    return f"[{what}, {named}, {size:,} bytes: not shown, results are text only]"


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "[content that is nested too deeply to be shown]"
