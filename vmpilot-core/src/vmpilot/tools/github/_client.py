"""GitHub's API: the library `gidgethub` over VMPilot's bounded requests. Import it only when needed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

import httpx2
from gidgethub.abc import GitHubAPI

from vmpilot.contract import Secret, ToolError
from vmpilot.providers import RoutedTransport
from vmpilot.tools.web.http_client import HttpResponse, send_request

_SIZE = 8 * 1024**2
_MOST_REDIRECTS = 3
_REDIRECTS = {301, 302, 303, 307, 308}
_HEADERS = {"accept-encoding": "gzip", "x-github-api-version": "2022-11-28"}


class GitHubClient(GitHubAPI):
    """Requests for one call of the tool. `latest` is the last response. The token only goes to the API's origin."""

    def __init__(self, transport: RoutedTransport, *, token: Secret, base_url: str) -> None:
        super().__init__("VMPilot", oauth_token=token.reveal(), base_url=base_url)
        self._transport = transport
        self._origin = _origin(base_url)
        self.latest: HttpResponse | None = None

    @property
    def graphql_url(self) -> str:
        """`/graphql`, or `/api/graphql` if the REST API is at `/api/v3`."""
        return f"{self.base_url.rstrip('/').removesuffix('/v3')}/graphql"

    @property
    def has_more(self) -> bool:
        """Whether the last response was a page of a list that continues."""
        return self.latest is not None and 'rel="next"' in self.latest.headers.get("link", "")

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        for _ in range(_MOST_REDIRECTS + 1):
            if _origin(url) != self._origin:
                raise ToolError(
                    f"GitHub redirected to another server ({urlsplit(url).hostname}), which must not get the token."
                )
            request = httpx2.Request(method, url, headers={**headers, **_HEADERS}, content=body)
            answer = self.latest = await send_request(self._transport, request, most=_SIZE)
            location = answer.headers.get("location", "")
            if answer.status not in _REDIRECTS or not location:
                break
            url = urljoin(url, location)
            if answer.status in {301, 302, 303} and method != "GET":
                raise ToolError("The repository has moved; find its new name on GitHub and use that.")
        return answer.status, {**answer.headers, "content-type": "application/json; charset=utf-8"}, _json_of(answer)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _json_of(answer: HttpResponse) -> bytes:
    """The body if it is JSON. For errors without JSON, such as a proxy's, only status and headers count."""
    if answer.cut:
        raise ToolError(f"GitHub's response exceeds {_SIZE // 1024**2} MB; ask for less.")
    try:
        json.loads(answer.body.decode())
    except (ValueError, RecursionError) as error:
        if answer.status < 300:
            raise ToolError(
                "The response is not from a GitHub API (not JSON). The user has to check its address."
            ) from error
        return b'{"message": ""}'
    return answer.body
