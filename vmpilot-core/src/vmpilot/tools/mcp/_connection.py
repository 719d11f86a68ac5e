"""One session with one server, from start to end, in a separate task as the SDK's task groups require."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from vmpilot.config import McpServer
from vmpilot.contract import ToolOutcome, read_proxies
from vmpilot.tools.mcp._naming import cut, visible, visible_line
from vmpilot.tools.mcp._results import read_result
from vmpilot.tools.mcp._stdio import StdioTransport
from vmpilot.tools.mcp._wire import describe_value

if TYPE_CHECKING:
    from vmpilot.tools.mcp._session import Session

START_SECONDS = 60.0
"""Time limit for starting a server and listing its tools: some are downloaded at their first start."""

_CANCEL_PATIENCE = 0.4
_CLOSE_PATIENCE = 1.5
_PING_SECONDS = 2.0
_MOST_PAGES = 20
_LONGEST_REASON = 2_000
_NO_SESSION = 404
"""The status returned by an HTTP server that does not recognize the session, for example after a restart."""

T = TypeVar("T")


class McpError(Exception):
    """A request to a server failed; the message explains why. `lost`: the session is over."""

    def __init__(self, text: str, *, lost: bool = False) -> None:
        super().__init__(text)
        self.lost = lost


class NoResponse(McpError):
    """A server did not respond in time."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The tools that a server lists, unchanged, and a sentence for each fault of the list."""

    tools: Sequence[Any]
    faults: tuple[str, ...]


class Connection:
    """A session that lasts until `close` or until the server goes away."""

    def __init__(self, server: McpServer, environment: Mapping[str, str]) -> None:
        self._server = server
        self._environment = environment
        self._over = asyncio.Event()
        self._ready = asyncio.Event()
        self._link: StdioTransport | None = None
        self._status = 0
        self._lost_because: BaseException | None = None
        self.tools_changed = False
        self._task = asyncio.create_task(self._serve())
        self._task.add_done_callback(_take_exception)

    @classmethod
    async def open(cls, server: McpServer, environment: Mapping[str, str]) -> Connection:
        """Start the server and connect. Raises `McpError`; a failure leaves nothing running."""
        await asyncio.to_thread(_import_library)
        connection = cls(server, environment)
        try:
            await connection._await_ready()
        except BaseException:
            await connection.close(hurry=True)
            raise
        return connection

    @property
    def alive(self) -> bool:
        """Whether the session can be used, as far as is known."""
        running = self._link is None or self._link.alive
        return running and not self._over.is_set() and not self._task.done()

    async def close(self, *, hurry: bool = False) -> None:
        """End the session and the server's process; takes at most 1.5 seconds, less than one with `hurry`."""
        if hurry and self._link is not None:
            self._link.hurry()
        self._over.set()
        if hurry and not self._ready.is_set():
            self._task.cancel()
        _, running = await asyncio.wait([self._task], timeout=_CLOSE_PATIENCE)
        if running:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CLOSE_PATIENCE)

    async def list_tools(self) -> Listing:
        """All tools of the server, up to 20 pages within a minute. Raises `McpError`."""
        before, self.tools_changed = self.tools_changed, False
        try:
            return await self._list_pages()
        except BaseException:
            self.tools_changed = before
            raise

    async def _list_pages(self) -> Listing:
        tools: dict[str, Any] = {}
        faults = list(self._session.remarks)
        asked: list[str | None] = [None]
        until = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            cursor = asked[-1]
            try:
                left = max(until - asyncio.get_running_loop().time(), 0.0)
                page, refused = await self._answer(self._session.list_page(cursor), left)
            except McpError as error:
                if error.lost or cursor is None:
                    raise
                if cursor:  # some servers write "" after the last page
                    faults.append(f"page {len(asked)} of its tool list is missing: {error}")
                break
            faults += [
                f"its tool {cut(visible_line(name), 80)} is skipped: its x-mcp-header is invalid" for name in refused
            ]
            listed = page.get("tools")
            if not isinstance(listed, list):
                faults.append(f"page {len(asked)} of its tool list is {describe_value(listed)} instead of a list")
                listed = []
            for tool in listed:
                if not (isinstance(tool, dict) and tool.get("name") in refused):
                    tools.setdefault(_identify(tool), tool)
            following = page.get("nextCursor")
            if fault := _find_cursor_fault(following, asked):
                faults.append(fault)
            if fault or following is None or following in asked:
                break
            asked.append(following)
        return Listing(tuple(tools.values()), tuple(faults))

    async def call_tool(
        self, name: str, arguments: Mapping[str, Any], on_progress: Callable[[float, float | None, str | None], None]
    ) -> ToolOutcome:
        """Call a tool. Raises `McpError`; canceling notifies the server, and takes at most half a second."""

        async def note_progress(progress: float, total: float | None, message: str | None) -> None:
            on_progress(progress, total, message)

        result = await self._answer(self._session.call_tool(name, arguments, note_progress), self._server.timeout)
        if result.get("resultType") == "input_required":
            raise McpError("it asks the user or the model during a call, which is not supported")
        return read_result(result)

    async def answers(self) -> bool:
        """Whether the server responds within two seconds."""
        try:
            await self._answer(self._session.ping(), _PING_SECONDS)
        except NoResponse:
            return False
        except McpError as error:
            return not error.lost
        return True

    async def _serve(self) -> None:
        from mcp_types import ToolListChangedNotification

        from vmpilot.tools.mcp._session import Session

        async def note(message: object) -> None:
            if isinstance(message, ToolListChangedNotification):
                self.tools_changed = True

        async with self._open_link() as (reading, writing), Session(reading, writing, note) as session:
            await session.handshake()
            self._session: Session = session
            self._ready.set()
            await self._over.wait()

    def _open_link(self) -> Any:
        if self._server.url is not None:
            from vmpilot.tools.mcp._http import http_transport

            return http_transport(self._server, proxies=read_proxies(self._environment), on_status=self._note_status)
        self._link = StdioTransport(self._server, self._environment, on_end=self._over.set)
        return self._link

    def _note_status(self, status: int) -> None:
        self._status = status

    def _describe_failure(self, failure: BaseException | None) -> str:
        status = f" (HTTP {self._status})" if self._status >= 400 else ""
        return f"{_describe(failure)}{status}"

    async def _await_ready(self) -> None:
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait([ready, self._task], timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not self._ready.is_set() and not self._task.done():
            self._lost_because = NoResponse(f"no response within {START_SECONDS:g} s")
            if self._link is not None:
                self._link.fail(str(self._lost_because))
        if not self._ready.is_set():
            raise McpError(f"it could not be started: {self._reason()}", lost=True)

    async def _answer(self, request: Coroutine[Any, Any, T], seconds: float) -> T:
        """The response to a request. Raises `McpError` for an error or a missing response."""
        asking = asyncio.create_task(request)
        try:
            await asyncio.wait([asking, self._task], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done() and not self._task.done():
                remark = self._link.remark() if self._link is not None else ""
                raise NoResponse("; ".join(filter(None, [f"no response within {seconds:g} s", remark])))
        finally:
            await _cancel(asking)
        failure = None if asking.cancelled() else asking.exception()
        if not asking.cancelled() and failure is None:
            return asking.result()
        if await self._is_lost(failure):
            raise McpError(f"the connection was lost: {self._reason()}", lost=True) from failure
        raise McpError(self._describe_failure(failure)) from failure

    async def _is_lost(self, failure: BaseException | None) -> bool:
        """Whether the session is over, which may become known a moment after a request failed."""
        from mcp_types import CONNECTION_CLOSED

        closed = failure is None or getattr(failure, "code", None) == CONNECTION_CLOSED or self._status == _NO_SESSION
        if closed or not self.alive:
            self._lost_because = failure
            self._over.set()
            await asyncio.wait([self._task], timeout=_CLOSE_PATIENCE)
            return True
        return False

    def _reason(self) -> str:
        """Why the session is over."""
        remark = self._link.remark() if self._link is not None else ""
        failure = self._lost_because
        if self._task.done() and not self._task.cancelled() and self._task.exception() is not None:
            failure = self._task.exception()
        return remark or (self._describe_failure(failure) if failure else "it closed the connection")


def _identify(tool: Any) -> str:
    """Identifies a listed tool, so that a tool listed twice counts once."""
    try:
        return json.dumps(tool, sort_keys=True)
    except RecursionError:
        return f"{id(tool)}"


def _find_cursor_fault(following: Any, asked: Sequence[str | None]) -> str | None:
    """The reason for not requesting the next page of a tool list, although there is one."""
    if following is None or (following == "" and following in asked):
        return None
    if not isinstance(following, str):
        return f"its tool list may be incomplete: its cursor is {describe_value(following)} instead of a string"
    if following in asked:
        return "its tool list is endless: a page leads back to an earlier one"
    if len(asked) >= _MOST_PAGES:
        return f"its tool list is cut after {_MOST_PAGES} pages"
    return None


async def _cancel(asking: asyncio.Task[Any]) -> None:
    """Cancel a request; one that does not end is abandoned."""
    if not asking.done():
        asking.cancel()
        asking.add_done_callback(_take_exception)
        await asyncio.wait([asking], timeout=_CANCEL_PATIENCE)


def _take_exception(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()


def _describe(error: BaseException | None) -> str:
    """The error for the user; for an exception group, as raised by task groups, its first error."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None:
        return "it ended without giving a reason"
    return cut(visible(f"{error}".strip() or type(error).__name__), _LONGEST_REASON)


def _import_library() -> None:
    """Import the SDK, which takes most of a second, and keep its log off the terminal."""
    import mcp.client.streamable_http

    del mcp
    for name in ("mcp", "client"):  # the SDK's session logs as "client"
        library = logging.getLogger(name)
        if not library.handlers:
            library.addHandler(logging.NullHandler())
