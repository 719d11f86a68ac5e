"""Messages to and from a stdio server, one JSON-RPC message a line, for the SDK's session. Everything is bounded.

Wire format: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vmpilot.tools.mcp.naming import cut, visible
from vmpilot.tools.mcp.process import ServerProcess
from vmpilot.tools.mcp.settings import McpServer
from vmpilot.tools.output import OutputBuffer, plain_text

if TYPE_CHECKING:
    from mcp.shared.message import SessionMessage

LONGEST_MESSAGE = 8 * 1024 * 1024
"""Bytes."""

_MOST_JUNK = 1_000
_MOST_UNASKED = 20_000
_MOST_STDERR = 64 * 1024 * 1024
_STDERR_KEPT = 4_000
_STDERR_SHOWN = 1_500


class StdioLink:
    """The connection to one server process: an async context manager that gives the SDK its two streams.

    `on_end` is called when the connection is over; `remark` then says why, as far as can be told.
    """

    def __init__(self, server: McpServer, environment: Mapping[str, str], *, on_end: Callable[[], None]) -> None:
        self._server = server
        self._environment = environment
        self._on_end = on_end
        self._process: ServerProcess | None = None
        self._fault: str | None = None
        self._ended = False
        self._hurry = False
        self._junk: list[str] = []
        self._junk_lines = 0
        self._unasked = 0
        self._stderr = _Stderr(self.fail)
        self._input_watch = _InputWatch(self._end)
        self._outputs: list[asyncio.ReadTransport] = []
        self._output = asyncio.StreamReader(LONGEST_MESSAGE)

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return not self._ended and self._process is not None and not self._process.has_exited

    def hurry(self) -> None:
        """End the process without waiting for it to end by itself."""
        self._hurry = True

    def fail(self, fault: str) -> None:
        """The connection cannot go on."""
        self._fault = self._fault or fault
        self._end()

    def remark(self) -> str:
        """What is known of how it went wrong, and the last of what the server said of it; empty if nothing."""
        facts = [self._fault] if self._fault else []
        code = self._process.exit_code if self._process and not self._fault else None
        if code is not None:
            facts.append(_describe_exit(code))
        if self._junk:
            facts.append(f"it wrote what is no message ({self._junk_lines:,} lines), such as: {self._junk[-1]}")
        if said := self._stderr.tail():
            facts.append(f"its standard error ends:\n{said}")
        return "; ".join(facts)

    async def __aenter__(self) -> tuple[_Messages, _Sender]:
        process = self._process = await ServerProcess.start(self._server, self._environment, on_exit=self._end)
        try:
            await self._connect_pipes(process)
        except BaseException:
            await process.end(politely=False)
            raise
        return _Messages(self), _Sender(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._hurry:
            self._input.close()
        try:
            assert self._process is not None  # noqa: S101
            await self._process.end(politely=not self._hurry)
        finally:
            if not self._input_watch.lost:
                self._input.abort()
            self._end()
            for transport in self._outputs:
                transport.close()

    async def _connect_pipes(self, process: ServerProcess) -> None:
        loop = asyncio.get_running_loop()
        self._input, _ = await loop.connect_write_pipe(lambda: self._input_watch, process.stdin)
        reader = asyncio.StreamReaderProtocol(self._output)
        for protocol, pipe in (reader, process.stdout), (self._stderr, process.stderr):
            transport, _ = await loop.connect_read_pipe(partial(_same, protocol), pipe)
            self._outputs.append(transport)

    async def receive(self) -> SessionMessage | None:
        """The next message, None where there will be none."""
        from mcp.shared.message import SessionMessage
        from mcp_types import JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter

        while line := await self._read_line():
            await asyncio.sleep(0)  # a flood of lines must not keep everybody else from running
            try:
                message = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                self._note_junk(line)
                continue
            self._unasked += not isinstance(message, JSONRPCResponse | JSONRPCError)
            if self._unasked > _MOST_UNASKED:
                self.fail("it sends messages without end")
            return SessionMessage(message)
        self._end()
        return None

    def send(self, line: bytes) -> None:
        """Pass a message on; one that cannot be passed on ends the connection."""
        if self._ended or self._input.is_closing():
            self._end()
            return
        self._unasked = 0
        self._stderr.total = 0
        self._input.write(line + b"\n")
        if self._input.get_write_buffer_size() > LONGEST_MESSAGE:
            self.fail("it does not read what it is sent")

    async def _read_line(self) -> bytes:
        if self._ended:
            return b""
        try:
            return await self._output.readline()
        except ValueError:
            self.fail(f"it sent a message of more than {LONGEST_MESSAGE // 1024**2} MB")
        except OSError as error:
            self.fail(f"its output could not be read ({error})")
        return b""

    def _note_junk(self, line: bytes) -> None:
        if not line.strip():
            return
        self._junk_lines += 1
        self._junk = [visible(cut(plain_text(line[:2_000].decode(errors="replace")).strip(), 200))]
        if self._junk_lines > _MOST_JUNK:
            self.fail("it does not speak MCP")

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            for transport in self._outputs[:1]:
                transport.close()
            self._output.feed_eof()
            self._on_end()


def _same(protocol: asyncio.BaseProtocol) -> asyncio.BaseProtocol:
    return protocol


class _Messages:
    """The SDK's `ReadStream`."""

    def __init__(self, link: StdioLink) -> None:
        self._link = link

    async def receive(self) -> SessionMessage | Exception:
        return await self.__anext__()

    async def aclose(self) -> None:
        """The link closes itself."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        message = await self._link.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Sender:
    """The SDK's `WriteStream`. It never waits: a server that does not read is given up on."""

    def __init__(self, link: StdioLink) -> None:
        self._link = link

    async def send(self, item: SessionMessage, /) -> None:
        self._link.send(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode())

    async def aclose(self) -> None:
        """The link closes itself."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _InputWatch(asyncio.BaseProtocol):
    """Tells when the server has closed its input."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self.lost = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.lost = True
        self._on_end()


class _Stderr(asyncio.Protocol):
    """Reads a server's standard error to its end, so that it never blocks, and keeps the last of it."""

    def __init__(self, fail: Callable[[str], None]) -> None:
        self._fail = fail
        self.total = 0
        self._kept = OutputBuffer(head=0, tail=_STDERR_KEPT)

    def data_received(self, data: bytes) -> None:
        self.total += len(data)
        self._kept.append(data.decode(errors="replace"))
        if self.total > _MOST_STDERR:
            self._fail(f"it wrote more than {_MOST_STDERR // 1024**2} MB to standard error")

    def tail(self) -> str:
        return visible(plain_text(self._kept.capped().text).strip()[-_STDERR_SHOWN:])


def _describe_exit(code: int) -> str:
    return f"it exited with code {code}" if code >= 0 else f"it was ended by signal {-code}"
