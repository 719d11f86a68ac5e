"""A website on loopback that answers as a test specifies, and certificates for hosts that do not exist."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vmpilot.contract import Proxies, ToolOutcome, ToolUse, read_proxies
from vmpilot.tools.web import WebFetch

USE = ToolUse(lambda _: None)
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


Handler = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Site:
    """The server: handlers by path, requests received, and whether clients are still connected."""

    port: int = 0
    scheme: str = "http"
    handlers: dict[str, Handler] = field(default_factory=dict)
    fallback: Handler | None = None
    seen: list[Seen] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def on(self, path: str, handler: Handler) -> None:
        self.handlers[path] = handler

    def has(
        self, path: str, body: str | bytes = b"", *, kind: str | None = HTML, status: int = 200, **headers: str
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if kind is not None:
            named["content-type"] = kind

        async def answer(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(head(status, {"content-length": str(len(data))} | named) + data)

        self.on(path, answer)

    def has_json(self, path: str, value: Any, *, status: int = 200) -> None:
        self.has(path, json.dumps(value), kind="application/json; charset=UTF-8", status=status)

    def sends_on(self, path: str, target: str, status: int = 302) -> None:
        self.has(path, b"moved", status=status, location=target)

    def never_ends(self, path: str, first: bytes = b"") -> None:
        """Send the head and `first`, then nothing until the client disconnects."""

        async def answer(_: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(head(200, {"content-type": "text/plain", "content-length": "100000"}) + first)
            await writer.drain()
            await self.gone.wait()

        self.on(path, answer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            seen = await read_request(reader)
            self.seen.append(seen)
            self.begun.set()
            watching = asyncio.create_task(self._watch(reader))
            handler = self.handlers.get(seen.path, self.fallback)
            if handler is None:
                writer.write(head(404, {"content-type": "text/plain", "content-length": "7"}) + b"nothing")
            else:
                await handler(seen, writer)
            await writer.drain()
            watching.cancel()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            await reader.read()
        self.gone.set()


async def read_request(reader: asyncio.StreamReader) -> Seen:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Seen(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Something\r\n{lines}connection: close\r\n\r\n".encode()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async for one in run_site(None):
        yield one


async def run_site(tls: ssl.SSLContext | None) -> AsyncIterator[Site]:
    site = Site(scheme="https" if tls else "http")
    async with serving(site.serve, tls) as site.port:
        yield site


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve connections on a port of loopback, and close all at the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve_one(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for task in tuple(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Proxy:
    """An HTTP proxy that opens every tunnel to one port of loopback, whatever the target."""

    target: int
    url: str = ""
    tunnels: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tunnels.append((await read_request(reader)).target)
        inner_reader, inner = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_copy(reader, inner), _copy(inner_reader, writer))
        finally:
            inner.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


def proxies_of(url: str) -> Proxies:
    """The value of HTTPS_PROXY."""
    return read_proxies({"HTTPS_PROXY": url})


@asynccontextmanager
async def proxy_to(site: Site) -> AsyncIterator[Proxy]:
    proxy = Proxy(site.port)
    async with serving(proxy.serve) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy


class Fetch(Protocol):
    async def __call__(self, url: str, *, offset: int = 0) -> ToolOutcome: ...


@pytest.fixture
def fetch() -> Fetch:
    """Fetch with a tool that may connect to 127.0.0.1."""
    tool = WebFetch(opened=["127.0.0.1"])

    async def fetch(url: str, *, offset: int = 0) -> ToolOutcome:
        return await tool.run({"url": url} | ({"offset": offset} if offset else {}), USE)

    return fetch


class Resolver:
    """A name server: returns each host's answers in order, and repeats the last one."""

    def __init__(self, **hosts: Sequence[Sequence[str]]) -> None:
        self._hosts = {name.replace("_", "."): list(answers) for name, answers in hosts.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self._hosts.get(host)
        if not answers:
            raise OSError(-2, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def gzipped_zeros(size: int) -> bytes:
    return gzip.compress(b"0" * size)


@dataclass(frozen=True)
class Certificates:
    """A certificate authority's file, and a server context with a certificate for a host."""

    file: Path
    server: Callable[[str], ssl.SSLContext]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("Test authority", key, key, issuer="Test authority", is_authority=True)
    file = tmp_path / "authority.pem"
    file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))

    def server(host: str) -> ssl.SSLContext:
        own = ec.generate_private_key(ec.SECP256R1())
        chain = tmp_path / f"{host}.pem"
        certificate = _certificate(host, own, key, issuer="Test authority", is_authority=False)
        chain.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + own.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        return context

    return Certificates(file, server)


def _certificate(
    host: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    issuer: str,
    is_authority: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    common_name = x509.NameOID.COMMON_NAME
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(common_name, host)]))
        .issuer_name(x509.Name([x509.NameAttribute(common_name, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host.replace(" ", "-"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
