"""One session with one server, from its start to its end, in a task of its own as the SDK's task groups need it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from vmpilot.contract import ToolOutcome, read_proxies
from vmpilot.tools.mcp.naming import cut, visible
from vmpilot.tools.mcp.results import read_result
from vmpilot.tools.mcp.settings import McpServer
from vmpilot.tools.mcp.stdio import StdioLink

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp_types import Tool as ListedTool

START_SECONDS = 60.0
"""For starting a server and listing its tools: some are fetched from a registry at their first start."""

_CANCEL_PATIENCE = 0.4
_CLOSE_PATIENCE = 1.5
_PING_SECONDS = 2.0
_MOST_PAGES = 20
_LONGEST_REASON = 2_000

T = TypeVar("T")


class McpProblem(Exception):
    """A server did not do what it was asked to; the message says why. `lost`: the session cannot be used any more."""

    def __init__(self, text: str, *, lost: bool = False) -> None:
        super().__init__(text)
        self.lost = lost


class NoAnswer(McpProblem):
    """A server did not answer in time."""


class Connection:
    """A session that is open until `close` or until the server goes away."""

    def __init__(self, server: McpServer, environment: Mapping[str, str]) -> None:
        self._server = server
        self._environment = environment
        self._over = asyncio.Event()
        self._ready = asyncio.Event()
        self._link: StdioLink | None = None
        self._status = 0
        self._lost_because: BaseException | None = None
        self.tools_changed = False
        self._task = asyncio.create_task(self._serve())
        self._task.add_done_callback(_take_exception)

    @classmethod
    async def open(cls, server: McpServer, environment: Mapping[str, str]) -> Connection:
        """Start the server and shake hands. Raises `McpProblem`; whatever happens, nothing is left running."""
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
        """Whether the session can still be used, as far as is known."""
        running = self._link is None or self._link.alive
        return running and not self._over.is_set() and not self._task.done()

    async def close(self, *, hurry: bool = False) -> None:
        """End the session and the server's process; takes a second and a half at most, less than one with `hurry`."""
        if hurry and self._link is not None:
            self._link.hurry()
        self._over.set()
        if hurry and not self._ready.is_set():
            self._task.cancel()
        _, running = await asyncio.wait([self._task], timeout=_CLOSE_PATIENCE)
        if running:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_CLOSE_PATIENCE)

    async def list_tools(self) -> list[ListedTool]:
        """All that the server offers, up to 20 pages. Raises `McpProblem`."""
        from mcp_types import PaginatedRequestParams

        tools: list[ListedTool] = []
        cursor: str | None = None
        before, self.tools_changed = self.tools_changed, False
        try:
            for _ in range(_MOST_PAGES):
                params = PaginatedRequestParams(cursor=cursor) if cursor else None
                page = await self._answer(self._session.list_tools(params=params), START_SECONDS)
                tools += page.tools
                cursor = page.next_cursor
                if not cursor:
                    break
        except BaseException:
            self.tools_changed = before
            raise
        return tools

    async def call_tool(
        self, name: str, arguments: Mapping[str, Any], on_progress: Callable[[float, float | None, str | None], None]
    ) -> ToolOutcome:
        """Call a tool. Raises `McpProblem`; being cancelled tells the server so, and takes half a second at most."""
        from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult, InputRequiredResult
        from pydantic import TypeAdapter

        async def note_progress(progress: float, total: float | None, message: str | None) -> None:
            on_progress(progress, total, message)

        # Not `session.call_tool`: that checks the result with patterns of the server's choice, which can take for ever.
        adapter: TypeAdapter[CallToolResult | InputRequiredResult] = TypeAdapter(CallToolResult | InputRequiredResult)
        request = CallToolRequest(params=CallToolRequestParams(name=name, arguments=dict(arguments)))
        result = await self._answer(
            self._session.send_request(request, adapter, progress_callback=note_progress), self._server.timeout
        )
        if isinstance(result, InputRequiredResult):
            raise McpProblem("it wants to ask the person or the model something in mid-call, which is not done here")
        return read_result(result)

    async def answers(self) -> bool:
        """Whether the server reacts at all, within two seconds."""
        try:
            await self._answer(self._session.send_ping(), _PING_SECONDS)
        except NoAnswer:
            return False
        except McpProblem as problem:
            return not problem.lost
        return True

    async def _serve(self) -> None:
        from mcp import ClientSession
        from mcp_types import Implementation, ToolListChangedNotification

        async def note(message: object) -> None:
            if isinstance(message, ToolListChangedNotification):
                self.tools_changed = True

        async with self._open_link() as (reading, writing):
            info = Implementation(name="vmpilot", version="1")
            async with ClientSession(reading, writing, message_handler=note, client_info=info) as session:
                await _shake_hands(session)
                self._session = session
                self._ready.set()
                await self._over.wait()

    def _open_link(self) -> Any:
        if self._server.url is not None:
            from vmpilot.tools.mcp.http import http_link

            return http_link(self._server, proxies=read_proxies(self._environment), on_status=self._note_status)
        self._link = StdioLink(self._server, self._environment, on_end=self._over.set)
        return self._link

    def _note_status(self, status: int) -> None:
        self._status = status

    def _said(self, failure: BaseException | None) -> str:
        status = f" (HTTP {self._status})" if self._status >= 400 else ""
        return f"{_describe(failure)}{status}"

    async def _await_ready(self) -> None:
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait([ready, self._task], timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not self._ready.is_set() and not self._task.done():
            self._lost_because = NoAnswer(f"no answer within {START_SECONDS:g} s")
            if self._link is not None:
                self._link.fail(str(self._lost_because))
        if not self._ready.is_set():
            raise McpProblem(f"it could not be started: {self._reason()}", lost=True)

    async def _answer(self, request: Coroutine[Any, Any, T], seconds: float) -> T:
        """The answer to a request. Raises `McpProblem` where there is none, or an error."""
        asking = asyncio.create_task(request)
        try:
            await asyncio.wait([asking, self._task], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done() and not self._task.done():
                remark = self._link.remark() if self._link is not None else ""
                raise NoAnswer("; ".join(filter(None, [f"it gave no answer within {seconds:g} s", remark])))
        finally:
            await _cancel(asking)
        failure = None if asking.cancelled() else asking.exception()
        if not asking.cancelled() and failure is None:
            return asking.result()
        if await self._is_lost(failure):
            raise McpProblem(f"the connection to it was lost: {self._reason()}", lost=True) from failure
        raise McpProblem(self._said(failure)) from failure

    async def _is_lost(self, failure: BaseException | None) -> bool:
        """Whether the session is over, which may become known a moment later than that a request failed."""
        from mcp_types import CONNECTION_CLOSED

        closed = failure is None or getattr(failure, "code", None) == CONNECTION_CLOSED or "terminated" in str(failure)
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
        return remark or (self._said(failure) if failure else "it closed the connection")


async def _shake_hands(session: ClientSession) -> None:
    """The handshake that all servers know; the newer one for those that know only that."""
    from mcp import MCPError
    from mcp_types import METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION

    try:
        await session.initialize()
    except MCPError as error:
        if error.code not in {METHOD_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION}:
            raise
        await session.discover()


async def _cancel(asking: asyncio.Task[Any]) -> None:
    """End a request that nobody waits for; one that does not end is left behind."""
    if not asking.done():
        asking.cancel()
        asking.add_done_callback(_take_exception)
        await asyncio.wait([asking], timeout=_CANCEL_PATIENCE)


def _take_exception(task: asyncio.Task[Any]) -> None:
    """Keep the event loop from telling of what is told elsewhere, or interests nobody any more."""
    if not task.cancelled():
        task.exception()


def _describe(error: BaseException | None) -> str:
    """The error for a person; of a group, as task groups raise them, the first one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None:
        return "it ended without a reason"
    return cut(visible(f"{error}".strip() or type(error).__name__), _LONGEST_REASON)


def _import_library() -> None:
    """Import the SDK, which takes most of a second, and keep its log of servers' mistakes off the terminal."""
    import mcp.client.streamable_http

    del mcp
    library = logging.getLogger("mcp")
    if not library.handlers:
        library.addHandler(logging.NullHandler())
