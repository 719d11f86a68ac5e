"""One exchange with the scripted server, by an HTTP client or by bytes on a socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpx

from vmpilot.testing import (
    ScriptedServer,
)

Ask: TypeAlias = Callable[..., dict[str, Any]]


def post(client: httpx.Client, server: ScriptedServer, body: dict[str, Any]) -> httpx.Response:
    return client.post(f"{server.base_url}/chat/completions", json=body)


def events_of(response: httpx.Response) -> list[Any]:
    datas = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert datas[-1] == "[DONE]"
    return [json.loads(data) for data in datas[:-1]]


def connect(server: ScriptedServer) -> socket.socket:
    url = urlsplit(server.base_url)
    return socket.create_connection((str(url.hostname), url.port or 0), timeout=10.0)


def raw_request(body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data)


def read_to_end(sock: socket.socket) -> bytes:
    data = bytearray()
    while part := sock.recv(65536):
        data += part
    return bytes(data)
