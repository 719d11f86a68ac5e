"""What a server's tool gave, as text for the model: text as it is, everything else said plainly, all of it bounded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vmpilot.contract import ToolOutcome
from vmpilot.tools.mcp.naming import visible, visible_line
from vmpilot.tools.output import OutputBuffer, plain_text

if TYPE_CHECKING:
    from mcp_types import CallToolResult, ContentBlock, EmbeddedResource


def read_result(result: CallToolResult) -> ToolOutcome:
    """The outcome of a call that was answered."""
    texts = [_describe(block) for block in result.content]
    if result.structured_content is not None and not _says(texts, result.structured_content):
        texts.append(json.dumps(result.structured_content, ensure_ascii=False))
    kept = OutputBuffer()
    kept.append(plain_text("\n".join(texts)))
    return ToolOutcome(kept.capped().text or "[the tool gave nothing]", is_error=result.is_error)


def _says(texts: list[str], content: Any) -> bool:
    """Whether one of the texts says the same, as servers send it for older clients: as JSON, or, where the content is
    but a result in an object, that result.
    """
    inner = content["result"] if isinstance(content, dict) and content.keys() == {"result"} else content
    return any(text == inner or _read_json(text) in ([content], [inner]) for text in texts)


def _read_json(text: str) -> list[Any]:
    """The value in a list, which is empty where the text is no JSON."""
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        return []


def _describe(block: ContentBlock) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return _left_out(block.type, block.mime_type, block.data)
        case "resource_link":
            about = f": {visible(block.description)}" if block.description else ""
            return f"[link to {visible_line(block.uri)}{about}]"
        case "resource":
            return _describe_resource(block)


def _describe_resource(block: EmbeddedResource) -> str:
    from mcp_types import TextResourceContents

    content = block.resource
    where = visible_line(content.uri)
    if isinstance(content, TextResourceContents):
        return f"[{where}]\n{content.text}"
    return _left_out(where, content.mime_type or "binary", content.blob)


def _left_out(what: str, kind: str, base64: str) -> str:
    size = len(base64) * 3 // 4
    return f"[{what}, {visible_line(kind)}, {size:,} bytes: not shown, results are text only]"
