"""JSON-RPC messages as servers actually write them, repaired to a form that the SDK accepts.

Format: https://www.jsonrpc.org/specification. The SDK silently drops a message that it finds invalid, so the call that
it answers would wait for its entire timeout.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Any, TypeAlias

from vmpilot.tools.mcp._naming import cut, visible_line

Message: TypeAlias = dict[str, Any]
RequestId: TypeAlias = int | str

LONGEST_MESSAGE = 8 * 1024 * 1024
"""Bytes."""
TOO_LONG = f"exceeds {LONGEST_MESSAGE // 1024**2} MB"

FAILED = -32603
"""The code of errors that are created here: "internal error" of JSON-RPC."""

_SDK_CLOSED = -32000
"""A code that servers use freely, and the SDK for a closed connection."""
_REPLY = frozenset({"jsonrpc", "id", "result", "error"})
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_INTEGER = re.compile(r"-?[0-9]{1,15}")

_VERSION = rb'"jsonrpc"\s*:\s*(?:"[0-9.]*"|[0-9.]+|null)\s*'
_ID = rb'"id"\s*:\s*(?:([0-9]{1,15})(?:\.0)?|"([0-9]{1,15})")\s*'
_ID_FIRST = re.compile(
    rb"\s*\{\s*(?:" + _VERSION + rb",\s*)?" + _ID + rb",\s*(?:" + _VERSION + rb',\s*)?"(?:result|error)"'
)
_RESULT_FIRST = re.compile(rb"\s*\{\s*(?:" + _VERSION + rb',\s*)?"(?:result|error)"')
_ID_LAST = re.compile(rb",\s*" + _ID + rb"(?:,\s*" + _VERSION + rb")?\}\s*\Z")
_LOOKED_AT = 4_096


def read_messages(data: bytes) -> list[Message]:
    """The messages in a line, a body or an event: a single one, or a batch. Raises ValueError for anything else.

    Invalid UTF-8 and lone surrogates become U+FFFD; a reply without a usable result becomes an error that reports it.
    """
    value = _read_json(data)
    entries = value if isinstance(value, list) else [value]
    messages = [message for entry in entries if (message := _repaired(entry)) is not None]
    if not messages:
        raise ValueError("not a JSON-RPC message")
    return messages


def is_reply(message: Message) -> bool:
    """Whether it answers a request."""
    return "method" not in message


def error_reply(request: RequestId | None, text: str) -> Message:
    """A reply that fails a request, with a sentence in which the server is "it"."""
    return {"jsonrpc": "2.0", "id": request, "error": {"code": FAILED, "message": text}}


def find_reply_id(start: bytes, end: bytes | None = None) -> int | None:
    """The id of a reply that is invalid JSON or too long, if it is where serializers usually write it.

    `start` and `end` are its first and last bytes, of which a few thousand are examined.
    """
    beginning = start[:_LOOKED_AT].removeprefix(BOM_UTF8)
    found = _ID_FIRST.match(beginning)
    if found is None and _RESULT_FIRST.match(beginning):
        found = _ID_LAST.search((start if end is None else end)[-_LOOKED_AT:])
    return None if found is None else int(found[1] or found[2])


def describe_value(value: Any) -> str:
    """A JSON value in a few words, for a sentence."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {cut(str(value), 40)}"
        case str():
            return f'the string "{cut(visible_line(value), 80)}"'
        case list():
            return "a list"
        case _:
            return "an object"


def _read_json(data: bytes) -> Any:
    try:
        value = json.loads(data.decode("utf-8-sig", errors="replace"), strict=False, parse_constant=str)
        return _without_surrogates(value) if _ESCAPED_SURROGATE.search(data) else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case list():
            return [_without_surrogates(part) for part in value]
        case dict():
            return {_SURROGATE.sub("\ufffd", key): _without_surrogates(part) for key, part in value.items()}
        case _:
            return value


def _repaired(entry: Any) -> Message | None:
    """None if it is not a message, such as a log line that happens to be JSON."""
    if not isinstance(entry, dict) or ("jsonrpc" not in entry and not entry.keys() <= _REPLY):
        return None
    request = _read_id(entry.get("id"))
    if isinstance(entry.get("method"), str):
        message: Message = {"jsonrpc": "2.0", "method": entry["method"]}
        message |= {} if request is None else {"id": request}
        return message | ({"params": entry["params"]} if isinstance(entry.get("params"), dict) else {})
    error, result = entry.get("error"), entry.get("result")
    if error or (error is not None and result is None):
        return {"jsonrpc": "2.0", "id": request, "error": _repaired_error(error)}
    if request is None:
        return None
    if not isinstance(result, dict):
        said = f"its result is {describe_value(result)} instead of an object"
        return error_reply(request, said if "result" in entry else "its response has neither a result nor an error")
    return {"jsonrpc": "2.0", "id": request, "result": result}


def _read_id(value: Any) -> RequestId | None:
    """The id as sent, even if the server returns 3 as "3" or 3.0."""
    match value:
        case bool():
            return None
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        case str():
            return int(value) if _INTEGER.fullmatch(value) else value
        case _:
            return None


def _repaired_error(error: Any) -> Mapping[str, Any]:
    match error:
        case {"message": str(message)} if message.strip():
            text = message
        case str() if error.strip():
            text = error
        case _:
            text = f"it failed with {_compact(error)}"
    code = error.get("code") if isinstance(error, dict) else None
    known = isinstance(code, int) and not isinstance(code, bool) and code != _SDK_CLOSED
    repaired = {"code": code if known else FAILED, "message": text}
    return repaired | {"data": error["data"]} if isinstance(error, dict) and "data" in error else repaired


def _compact(value: Any) -> str:
    try:
        return cut(json.dumps(value, ensure_ascii=False), 200)
    except RecursionError:
        return describe_value(value)
