"""Proxies on loopback for the tests: HTTP (plain requests and tunnels) and SOCKS 5, working or deliberately failing."""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["http", "socks5"]
Failure = Literal["", "authentication", "refusal", "hangup"]

USER, PASSWORD = "ada", "proxy-password-0123456789"  # fictitious
CREDENTIALS = f"{USER}:{PASSWORD}"


@dataclass
class ProxyServer:
    """A running proxy; `targets` are the requested `host:port`, `heads` the requests that it read."""

    kind: Kind
    failure: Failure
    port: int = 0
    targets: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    accepted: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its URL, with credentials."""
        return f"{self.kind}://{CREDENTIALS}@127.0.0.1:{self.port}"


@contextmanager
def running_proxy(kind: Kind = "http", failure: Failure = "") -> Iterator[ProxyServer]:
    """Run a proxy that accepts one user."""
    proxy = ProxyServer(kind, failure)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            proxy.accepted.set()
            with suppress(OSError):
                if proxy.failure != "hangup":
                    (_serve_http if proxy.kind == "http" else _serve_socks)(self.request, proxy)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _serve_http(client: socket.socket, proxy: ProxyServer) -> None:
    head, rest = _read_head(client)
    proxy.heads.append(head)
    method, target, _version = head.split(b"\r\n")[0].decode().split(" ")
    expected = base64.b64encode(CREDENTIALS.encode())
    if proxy.failure == "authentication" or expected not in head:
        client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        return
    place = target if method == "CONNECT" else re.sub(r"^http://([^/]*).*", r"\1", target)
    proxy.targets.append(place)
    if proxy.failure == "refusal":
        client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        return
    host, _, port = place.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port))) as server:
        if method == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            server.sendall(
                head.replace(f"http://{place}".encode(), b"", 1).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            )
        server.sendall(rest)
        _join(client, server)


def _serve_socks(client: socket.socket, proxy: ProxyServer) -> None:
    """RFC 1928 and RFC 1929."""
    _version, count = client.recv(2)
    client.recv(count)
    client.sendall(b"\x05\x02")
    _, length = client.recv(2)
    user = client.recv(length)
    password = client.recv(client.recv(1)[0])
    known = f"{user.decode()}:{password.decode()}" == CREDENTIALS and proxy.failure != "authentication"
    client.sendall(b"\x01\x00" if known else b"\x01\x01")
    if not known:
        return
    *_, kind = client.recv(4)
    if kind == 3:
        host = client.recv(client.recv(1)[0]).decode()
    else:
        host = str(ipaddress.ip_address(client.recv(4 if kind == 1 else 16)))
    (port,) = struct.unpack("!H", client.recv(2))
    proxy.targets.append(f"{host}:{port}")
    if proxy.failure == "refusal":
        client.sendall(b"\x05\x02\x00\x01" + bytes(6))
        return
    with socket.create_connection((host, port)) as server:
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        _join(client, server)


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(65_536)
        if not piece:
            raise ConnectionResetError
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _join(client: socket.socket, server: socket.socket) -> None:
    upward = threading.Thread(target=_copy, args=(client, server))
    upward.start()
    _copy(server, client)
    upward.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
