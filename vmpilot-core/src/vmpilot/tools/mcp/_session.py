"""The SDK's session on a dispatcher that keeps a server's responses away from the SDK's validators.

They reject an entire response because of one part of it. The session gets the minimum that it needs, and the raw
response with it. This module imports the SDK, which takes most of a second: import it when a server is started.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mcp import ClientSession, MCPError
from mcp.client._transport import ReadStream, WriteStream
from mcp.client.session import MessageHandlerFnT
from mcp.shared.dispatcher import CallOptions
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import SessionMessage
from mcp.shared.transport_context import TransportContext
from mcp_types import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    UNSUPPORTED_PROTOCOL_VERSION,
    CallToolRequest,
    CallToolRequestParams,
    Implementation,
    PaginatedRequestParams,
    RequestId,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, Field

from vmpilot.contract import ToolSpec, find_spec_fault
from vmpilot.tools.mcp._definitions import object_schema
from vmpilot.tools.mcp._naming import cut, visible_line
from vmpilot.tools.mcp._wire import describe_value

_RAW = "vmpilot/raw"
_RESULT = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


class Session:
    """A session with a server; `remarks` are sentences about its handshake, where the server is "it"."""

    def __init__(
        self,
        reading: ReadStream[SessionMessage | Exception],
        writing: WriteStream[SessionMessage],
        on_message: MessageHandlerFnT,
    ) -> None:
        self._dispatcher = _Dispatcher(reading, writing)
        self._session = ClientSession(
            dispatcher=self._dispatcher,
            message_handler=on_message,
            client_info=Implementation(name="vmpilot", version="1"),
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(self._dispatcher.remarks)

    async def __aenter__(self) -> Session:
        await self._session.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._session.__aexit__(*error)

    async def handshake(self) -> None:
        """The handshake that all servers support, or else the newer one."""
        try:
            await self._session.initialize()
        except MCPError as error:
            if error.code not in {METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION}:
                raise
            await self._session.discover()

    async def list_page(self, cursor: str | None) -> tuple[Mapping[str, Any], frozenset[str]]:
        """A page of the tool list as sent, and the names of tools that the protocol requires to skip."""
        params = None if cursor is None else PaginatedRequestParams(cursor=cursor)
        page = await self._session.list_tools(params=params)
        raw = (page.meta or {})[_RAW]
        return raw, frozenset(_with_headers(raw)) - {tool.name for tool in page.tools}

    async def call_tool(self, name: str, arguments: Mapping[str, Any], on_progress: Any) -> Mapping[str, Any]:
        """The raw result."""
        # Not `ClientSession.call_tool`: it checks the result with the server's patterns, which can take forever.
        request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=dict(arguments)))
        answer = await self._session.send_request(request, _Answer, progress_callback=on_progress)
        raw: Mapping[str, Any] = answer.raw[_RAW]
        return raw

    async def ping(self) -> None:
        """Check that the server responds."""
        await self._session.send_ping()


class _Answer(BaseModel):
    raw: dict[str, Any] = Field(alias="_meta")


class _Dispatcher(JSONRPCDispatcher[TransportContext]):
    def __init__(self, reading: ReadStream[SessionMessage | Exception], writing: WriteStream[SessionMessage]) -> None:
        super().__init__(reading, writing)
        self.remarks: list[str] = []

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        *,
        _related_request_id: RequestId | None = None,
    ) -> dict[str, Any]:
        async def send(params: Mapping[str, Any] | None) -> dict[str, Any]:
            return await super(_Dispatcher, self).send_raw_request(
                method, params, opts, _related_request_id=_related_request_id
            )

        try:
            raw = await send(params)
        except MCPError as error:
            if method != "initialize" or (version := _other_version(error)) is None:
                raise
            raw = await send({**(params or {}), "protocolVersion": version})
        match method:
            case "initialize":
                return self._handshake(raw)
            case "server/discover":
                versions = raw.get("supportedVersions")
                known = [each for each in versions if isinstance(each, str)] if isinstance(versions, list) else []
                return {"supportedVersions": known or list(MODERN_PROTOCOL_VERSIONS), "capabilities": {}, **_RESULT}
            case "tools/list":
                tools = [{"name": name, "inputSchema": schema} for name, schema in _with_headers(raw).items()]
                return {"tools": tools, "_meta": {_RAW: raw}, **_RESULT}
            case "tools/call":
                return {"content": [], "_meta": {_RAW: raw}, **_RESULT}
            case _:
                return {}

    def _handshake(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        version = raw.get("protocolVersion")
        if version not in HANDSHAKE_PROTOCOL_VERSIONS:
            shown = cut(visible_line(version), 40) if isinstance(version, str) else f"({describe_value(version)})"
            said = "without a protocol version" if version is None else f"with the unknown protocol version {shown}"
            self.remarks.append(f"it answered {said}; using {LATEST_HANDSHAKE_VERSION}")
            version = LATEST_HANDSHAKE_VERSION
        info = raw.get("serverInfo")
        if not isinstance(info, dict) or not isinstance(info.get("name"), str):
            self.remarks.append("it did not identify itself (serverInfo is missing or malformed)")
        return {"protocolVersion": version, "capabilities": {}, "serverInfo": {"name": "server", "version": ""}}


def _with_headers(raw: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The schemas of tools whose arguments the session must copy into HTTP headers (`x-mcp-header`), by name."""
    tools = raw.get("tools")
    found: dict[str, dict[str, Any]] = {}
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict) and isinstance(name := tool.get("name"), str):
            schema = _schema_with_headers(tool.get("inputSchema"))
            found |= {name: schema} if schema else {}
    return found


def _schema_with_headers(schema: Any) -> dict[str, Any] | None:
    """The schema without parts that the session would reject; None if it has no header, or cannot be offered anyway."""
    try:
        repaired = object_schema(schema)
    except ValueError:
        return None
    if find_spec_fault(ToolSpec("tool", "tool", repaired)) or "x-mcp-header" not in json.dumps(repaired):
        return None
    properties = {name: part for name, part in repaired["properties"].items() if isinstance(part, dict)}
    return {key: part for key, part in repaired.items() if key != "required"} | {"properties": properties}


def _other_version(error: MCPError) -> str | None:
    """The newest version that both sides support, if the server rejected VMPilot's and lists its own."""
    data = error.error.data
    supported = data.get("supported") if isinstance(data, dict) and error.code == INVALID_PARAMS else None
    known = [version for version in HANDSHAKE_PROTOCOL_VERSIONS if isinstance(supported, list) and version in supported]
    return known[-1] if known else None
