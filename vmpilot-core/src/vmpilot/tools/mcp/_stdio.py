"""Messages to and from a stdio server, one JSON-RPC message per line, for the SDK's session. Everything is bounded.

Wire format: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

from __future__ import annotations

import asyncio
import json
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vmpilot.config import McpServer
from vmpilot.machine.processes.output import OutputBuffer, plain_text
from vmpilot.tools.mcp._naming import cut, visible, visible_line
from vmpilot.tools.mcp._process import ServerProcess
from vmpilot.tools.mcp._wire import (
    LONGEST_MESSAGE,
    TOO_LONG,
    Message,
    error_reply,
    find_reply_id,
    is_reply,
    read_messages,
)

if TYPE_CHECKING:
    from mcp.shared.message import SessionMessage
    from mcp_types import JSONRPCMessage

_LONGEST_SKIPPED = 64 * 1024 * 1024
_BROKEN_KEPT = 4_096
_MOST_JUNK = 1_000
_MOST_UNASKED = 20_000
_MOST_STDERR = 64 * 1024 * 1024
_STDERR_KEPT = 4_000
_STDERR_SHOWN = 1_500


class StdioTransport:
    """The connection to a server process: an async context manager that gives the SDK its two streams.

    `on_end` is called when the connection ends; `remark` is then the reason, if known.
    """

    def __init__(self, server: McpServer, environment: Mapping[str, str], *, on_end: Callable[[], None]) -> None:
        self._server = server
        self._environment = environment
        self._on_end = on_end
        self._process: ServerProcess | None = None
        self._fault: str | None = None
        self._ended = False
        self._hurry = False
        self._junk = ""
        self._junk_lines = 0
        self._unasked = 0
        self._asked: set[int | str] = set()
        self._received: deque[Message] = deque()
        self._broken = _BrokenLines()
        self._stray = ""
        self._stderr = _Stderr(self.fail)
        self._input_watch = _InputWatch(self._end)
        self._outputs: list[asyncio.ReadTransport] = []
        self._output = asyncio.StreamReader(LONGEST_MESSAGE)

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return not self._ended and self._process is not None and not self._process.has_exited

    def hurry(self) -> None:
        """End the process without waiting for it to exit by itself."""
        self._hurry = True

    def fail(self, fault: str) -> None:
        """End the connection because of a fault."""
        self._fault = self._fault or fault
        self._end()

    def remark(self) -> str:
        """The reason why the connection ended, with the end of the server's standard error; empty if unknown."""
        facts = [self._fault] if self._fault else []
        code = self._process.exit_code if self._process and not self._fault else None
        if code is not None:
            facts.append(f"it exited with code {code}" if code >= 0 else f"it was killed by signal {-code}")
        if self._stray:
            facts.append(self._stray)
        if self._junk_lines:
            facts.append(f"it wrote {self._junk_lines:,} lines that are not messages, such as: {self._junk}")
        if said := self._stderr.tail():
            facts.append(f"end of its standard error:\n{said}")
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
        output, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._output), process.stdout)
        self._outputs.append(output)
        errors, _ = await loop.connect_read_pipe(lambda: self._stderr, process.stderr)
        self._outputs.append(errors)

    async def receive(self) -> SessionMessage | None:
        """The next message, or None at the end."""
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        while not self._received:
            line = await self._read_line()
            if not line:
                self._end()
                return None
            await asyncio.sleep(0)  # lets everything else run during a flood of lines
            self._received.extend(message for message in self._read(line) if self._is_wanted(message))
        return SessionMessage(jsonrpc_message_adapter.validate_python(self._received.popleft(), by_name=False))

    def _read(self, line: bytes) -> list[Message]:
        """The messages in a line. An unreadable reply fails its call at once if its id can be found."""
        try:
            messages = read_messages(line)
        except ValueError:
            request = find_reply_id(*self._broken.add(line))
            if request not in self._asked:
                self._note_junk(line)
                return []
            messages = [error_reply(request, "its response is not valid JSON on one line")]
        self._broken = _BrokenLines()
        return messages

    def _is_wanted(self, message: Message) -> bool:
        """Whether to pass it on: replies to no request, or to an answered one, are dropped and counted."""
        if not is_reply(message):
            self._note_unasked()
            return True
        if message["id"] is None and len(self._asked) == 1:
            message["id"] = next(iter(self._asked))  # the server could not read the request, nor its id
        if message["id"] in self._asked:
            self._asked.remove(message["id"])
            return True
        self._stray = f"it replied to an unknown request (id {cut(visible_line(json.dumps(message['id'])), 40)})"
        self._note_unasked()
        return False

    def _note_unasked(self) -> None:
        self._unasked += 1
        if self._unasked > _MOST_UNASKED:
            self.fail("it sends endless messages")

    def send(self, message: JSONRPCMessage) -> None:
        """Send a message; ends the connection if that is not possible."""
        from mcp_types import JSONRPCNotification, JSONRPCRequest

        if self._ended or self._input.is_closing():
            self._end()
            return
        match message:
            case JSONRPCRequest(id=request):
                self._asked.add(request)
            case JSONRPCNotification(method="notifications/cancelled", params={"requestId": request}):
                self._asked.discard(request)
            case _:
                pass
        self._unasked = self._junk_lines = 0
        self._stray = ""
        self._stderr.total = 0
        self._input.write(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
        if self._input.get_write_buffer_size() > LONGEST_MESSAGE:
            self.fail("it does not read its input")

    async def _read_line(self) -> bytes:
        """The next line; an error in place of one that is too long, if it answers a request."""
        if self._ended:
            return b""
        try:
            return await self._output.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            return error.partial
        except asyncio.LimitOverrunError as error:
            return await self._skip_line(error.consumed)
        except OSError as error:
            self.fail(f"its output could not be read ({error})")
        return b""

    async def _skip_line(self, read: int) -> bytes:
        """Skip a line that is too long, if it answers a known request."""
        start = await self._output.readexactly(read)
        request, size = find_reply_id(start, b""), read
        while request in self._asked and size < _LONGEST_SKIPPED:
            try:
                await self._output.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                break
            except asyncio.LimitOverrunError as error:
                size += len(await self._output.readexactly(error.consumed))
                continue
            return json.dumps(error_reply(request, f"its response {TOO_LONG}")).encode()
        self.fail(f"it sent a message that {TOO_LONG}")
        return b""

    def _note_junk(self, line: bytes) -> None:
        if not line.strip():
            return
        self._junk_lines += 1
        self._junk = visible(cut(plain_text(line[:2_000].decode(errors="replace")).strip(), 200))
        if self._junk_lines > _MOST_JUNK:
            self.fail("it does not speak MCP")

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            for transport in self._outputs[:1]:
                transport.close()
            self._output.feed_eof()
            self._on_end()


class _BrokenLines:
    """The first and last bytes of what may be a reply spread over lines, which MCP forbids."""

    def __init__(self) -> None:
        self._start = self._end = b""

    def add(self, line: bytes) -> tuple[bytes, bytes]:
        if line.startswith((b"{", BOM_UTF8)):
            self._start = self._end = b""
        self._start += line[: max(_BROKEN_KEPT - len(self._start), 0)]
        self._end = (self._end + line)[-_BROKEN_KEPT:]
        return self._start, self._end


class _Stream:
    """The common part of the SDK's two kinds of streams; the transport closes itself."""

    def __init__(self, transport: StdioTransport) -> None:
        self._transport = transport

    async def aclose(self) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass


class _Messages(_Stream):
    """The SDK's `ReadStream`."""

    async def receive(self) -> SessionMessage | Exception:
        return await self.__anext__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        message = await self._transport.receive()
        if message is None:
            raise StopAsyncIteration
        return message


class _Sender(_Stream):
    """The SDK's `WriteStream`. It never waits: a server that does not read is disconnected."""

    async def send(self, item: SessionMessage, /) -> None:
        self._transport.send(item.message)


class _InputWatch(asyncio.BaseProtocol):
    """Notices when the server closes its input."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self.lost = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.lost = True
        self._on_end()


class _Stderr(asyncio.Protocol):
    """Reads a server's standard error, so that it never blocks, and keeps the end of it."""

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
