"""HTTP downloads with the standard library: through the user's proxies, resumed where an earlier one ended."""

import asyncio
import base64
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from urllib.parse import unquote, urlsplit

from vmpilot.local_model._background import Guard, run_abandonable
from vmpilot.local_model._values import MEBIBYTE, LocalModelError

_CONNECT_SECONDS = 8.0  # if a firewall drops packets, the other origin must get its turn
_STALL_SECONDS = 15.0
_LONGEST_PAGE = 16 * MEBIBYTE


class DownloadProxy(Protocol):
    """A proxy; its `str` is its name in messages and shows no password."""

    @property
    def address(self) -> str: ...
    @property
    def is_socks(self) -> bool: ...


FindProxy: TypeAlias = Callable[[str], DownloadProxy | None]
"""The proxy for a URL, None for a direct connection."""

ReportBytes: TypeAlias = Callable[[Guard, int], None]
"""Called in the worker's thread with the size that the file has reached."""


class Downloader:
    """Opens URLs through the proxies that `find_proxy` chooses; `certificates` is a file of trusted authorities."""

    def __init__(self, find_proxy: FindProxy, certificates: str | None = None) -> None:
        self._find_proxy = find_proxy
        self._certificates = certificates
        self._opener: urllib.request.OpenerDirector | None = None

    async def read_page(self, url: str) -> str:
        """The text of a page. Raises `LocalModelError` if it cannot be read."""

        def read(_: Guard) -> str:
            with self._open(url, {"Accept": "text/html"}) as response:
                return response.read(_LONGEST_PAGE).decode("utf-8", "replace")

        with self._translated_errors(url):
            return await run_abandonable(read)

    async def download(
        self, url: str, path: Path, *, size: int | None = None, report: ReportBytes | None = None
    ) -> None:
        """Bring the file at `path` from the bytes that it has to `size` bytes; None: download all of it.

        Raises `LocalModelError` if the URL cannot be reached, offers another file or breaks off; what came is kept.
        """
        with self._translated_errors(url):
            async with asyncio.timeout(_CONNECT_SECONDS):
                response, offset = await run_abandonable(lambda _: self._open_rest(url, path, size))
            await run_abandonable(lambda guard: _copy(response, path, offset=offset, guard=guard, report=report))

    @contextmanager
    def _translated_errors(self, url: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise LocalModelError(f"{hide_password(url)} did not answer in time") from error
        except (OSError, http.client.HTTPException) as error:
            proxy = self._find_proxy(url)
            way = f" through the proxy of {proxy}" if proxy else ""
            raise LocalModelError(f"{hide_password(url)} failed{way}: {error}") from error

    def _open_rest(self, url: str, path: Path, size: int | None) -> tuple[http.client.HTTPResponse, int]:
        """The open response and the offset at which its bytes belong: 0 if the server ignores ranges."""
        had = path.stat().st_size if size is not None and path.exists() else 0
        response = self._open(url, {"Range": f"bytes={had}-"} if had else {})
        start = had if response.status == http.client.PARTIAL_CONTENT else 0
        if size is not None and (response.length is None or start + response.length != size):
            response.close()
            raise LocalModelError(
                f"{hide_password(url)} offers another file: {response.length} bytes instead of {size - start}"
            )
        return response, start

    def _open(self, url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"}:
            raise LocalModelError(f"{hide_password(url)} is not an HTTP address")
        if self._opener is None:
            secure = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self._certificates))
            self._opener = urllib.request.build_opener(_Routing(self._find_proxy), secure)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        request = urllib.request.Request(bare, headers={"Accept-Encoding": "identity", **headers})  # noqa: S310
        if parts.username is not None:
            account = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            # A redirect may lead to another server, which must not get the password.
            request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(account.encode()).decode()}")
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=_STALL_SECONDS)
        except urllib.error.HTTPError as failure:
            failure.close()
            raise
        return response


def hide_password(url: str) -> str:
    """The URL without user and password."""
    return re.sub(r"(?<=//)[^/@]*@", "", url)


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
            raise LocalModelError(f"{proxy} speaks SOCKS, which this download does not support")
        return self.proxy_open(request, proxy.address, request.type)

    https_open = http_open


def _copy(
    response: http.client.HTTPResponse, path: Path, *, offset: int, guard: Guard, report: ReportBytes | None
) -> None:
    missing = response.length
    with response, path.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        while chunk := response.read(MEBIBYTE):
            with guard.step():
                file.write(chunk)
                file.flush()
            missing = None if missing is None else missing - len(chunk)
            if report is not None:
                report(guard, file.tell())
    if missing:
        raise http.client.IncompleteRead(b"", missing)
