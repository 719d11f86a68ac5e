"""The official place of a weights file: one HTTP download that goes on where an earlier one ended."""

import asyncio
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from vmpilot.local_model.errors import LocalModelError
from vmpilot.local_model.progress import DOWNLOADING, Progress
from vmpilot.local_model.source import MEBIBYTE
from vmpilot.local_model.worker import Guard, run_abandonable

_CONNECT_SECONDS = 8.0  # a closed network must not hold up the data wheels
_STALL_SECONDS = 15.0


class DownloadProxy(Protocol):
    """A proxy; its `str` is what messages call it, and shows no password."""

    @property
    def address(self) -> str: ...
    @property
    def is_socks(self) -> bool: ...


FindProxy: TypeAlias = Callable[[str], DownloadProxy | None]
"""The proxy for a URL, None for a direct connection."""


async def download_rest(
    url: str,
    partial: Path,
    *,
    size: int,
    progress: Callable[[Progress], None],
    find_proxy: FindProxy = lambda _url: None,
    connect_seconds: float = _CONNECT_SECONDS,
) -> None:
    """Bring `partial` from the bytes that it has to `size` bytes.

    Raises `LocalModelError` where the place cannot be reached, offers another file or breaks off; what came stays.
    """
    opener = urllib.request.build_opener(_Routing(find_proxy))
    try:
        async with asyncio.timeout(connect_seconds):
            response, offset = await run_abandonable(lambda _: _open(opener, url, _length(partial), size))

        def report(guard: Guard, done: int) -> None:
            guard.report(progress, Progress(DOWNLOADING, done, size))

        await run_abandonable(lambda guard: _copy(response, partial, offset=offset, guard=guard, report=report))
    except TimeoutError as error:
        raise LocalModelError(f"{url} did not answer in time") from error
    except (OSError, http.client.HTTPException) as error:
        proxy = find_proxy(url)
        way = f" through the proxy of {proxy}" if proxy else ""
        raise LocalModelError(f"{url} failed{way}: {error}") from error


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class _Routing(urllib.request.ProxyHandler):
    """Chooses the proxy for each URL of a download, redirects included."""

    def __init__(self, find_proxy: FindProxy) -> None:
        super().__init__({})
        self._find_proxy = find_proxy

    def http_open(self, request: urllib.request.Request) -> Any:
        """Send the request to its proxy, if it has one; None leaves it to the next handler."""
        proxy = self._find_proxy(request.full_url)
        if proxy is None:
            return None
        if proxy.is_socks:
            raise LocalModelError(f"{proxy} speaks SOCKS, which this download cannot do")
        return self.proxy_open(request, proxy.address, request.type)

    https_open = http_open


def _open(
    opener: urllib.request.OpenerDirector, url: str, offset: int, size: int
) -> tuple[http.client.HTTPResponse, int]:
    """The open answer and the offset at which its bytes belong: 0 where the server ignores ranges."""
    if not url.startswith(("https://", "http://")):
        raise LocalModelError(f"{url} is not an HTTP address")
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={offset}-"} if offset else {})}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  the scheme is checked above
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=_STALL_SECONDS)
    except urllib.error.HTTPError as refusal:
        refusal.close()
        raise
    start = offset if response.status == http.client.PARTIAL_CONTENT else 0
    if response.length is None or start + response.length != size:
        response.close()
        raise LocalModelError(f"{url} offers another file: {response.length} bytes where {size - start} were expected")
    return response, start


def _copy(
    response: http.client.HTTPResponse,
    partial: Path,
    *,
    offset: int,
    guard: Guard,
    report: Callable[[Guard, int], None],
) -> None:
    missing = response.length or 0
    with response, partial.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        while missing and (chunk := response.read(min(MEBIBYTE, missing))):
            with guard.step():
                file.write(chunk)
                file.flush()
            missing -= len(chunk)
            report(guard, file.tell())
    if missing:
        raise http.client.IncompleteRead(b"", missing)
