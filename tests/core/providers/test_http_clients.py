"""Clients of both HTTP libraries: the route of requests, additions to them, and how much of an error body is read."""

from __future__ import annotations

import socket
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest
from tests.proxy_server import CREDENTIALS, PASSWORD, Failure, Kind, running_proxy

from vmpilot.contract import ModelSettings, ProviderUnavailable, Proxies, UsageError, read_proxies
from vmpilot.providers import MAX_ERROR_BYTES, ModelName, ModelTarget, open_client, translate_error
from vmpilot.testing import Flood, HttpError, Raw, Reply, ScriptedServer, Step

LIBRARIES: tuple[ModuleType, ...] = (httpx, httpx2)
KINDS: tuple[Kind, ...] = ("http", "socks5")
HERE = ModelTarget(ModelName("openai", "m"), "http://127.0.0.1/v1")


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> Any:
    """An HTTP library."""
    return request.param


def _client(library: Any, server: ScriptedServer, *, query: str = "", proxies: Proxies = Proxies()) -> Any:  # noqa: B008
    settings = ModelSettings(base_url=server.base_url, query=query, proxies=proxies)

    class OwnClient(library.AsyncClient):  # type: ignore[misc]  # an SDK's is a subclass, too
        pass

    return open_client(OwnClient, settings)


async def _post(client: Any, url: str) -> Any:
    async with client:
        return await client.post(f"{url}/chat/completions", json={"model": "m", "messages": []})


async def test_an_endless_error_body_is_read_up_to_a_limit(library: Any) -> None:
    endless = Flood("x" * 5_000, opening="It broke. ", status=500, content_type="text/plain")
    script: list[Step] = [endless, HttpError(404, body="short"), Reply("y" * 2 * MAX_ERROR_BYTES)]
    with ScriptedServer(script, strict=False) as server:
        async with _client(library, server) as client:
            broke, missing, whole = [await client.post(f"{server.base_url}/chat/completions", json={}) for _ in script]
        assert server.wait_for_hangup().number == 1
    assert (broke.status_code, len(broke.content), broke.text[:9]) == (500, MAX_ERROR_BYTES, "It broke.")
    assert missing.text == "short"
    assert len(whole.content) > 2 * MAX_ERROR_BYTES


@pytest.mark.parametrize("scheme", KINDS)
async def test_a_request_goes_through_its_proxy(library: Any, scheme: Kind) -> None:
    with running_proxy(scheme) as proxy, ScriptedServer([Reply("y")], strict=False) as server:
        response = await _post(
            _client(library, server, proxies=read_proxies({"ALL_PROXY": proxy.url})), server.base_url
        )
    assert response.status_code == 200
    assert proxy.targets == [server.base_url.removeprefix("http://").removesuffix("/v1")]


@pytest.mark.parametrize("scheme", KINDS)
async def test_hosts_in_no_proxy_are_reached_directly(library: Any, scheme: Kind) -> None:
    with running_proxy(scheme) as proxy, ScriptedServer([Reply("y")], strict=False) as server:
        proxies = read_proxies({"ALL_PROXY": proxy.url, "NO_PROXY": "[::1],127.0.0.0/8"})
        assert (await _post(_client(library, server, proxies=proxies), server.base_url)).status_code == 200
    assert not proxy.accepted.is_set()


async def test_the_environment_is_not_read(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_proxy() as proxy, ScriptedServer([Reply("y")], strict=False) as server:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "[::1")
        assert (await _post(_client(library, server), server.base_url)).status_code == 200
    assert not proxy.accepted.is_set()


@pytest.mark.parametrize(
    ("kind", "failure", "scheme"),
    [
        ("http", "authentication", "http"),
        ("http", "hangup", "http"),  # a proxy's rejection of an http:// request looks like the server's
        ("http", "authentication", "https"),
        ("http", "refusal", "https"),
        ("http", "hangup", "https"),
        *(
            ("socks5", failure, scheme)
            for failure in ("authentication", "refusal", "hangup")
            for scheme in ("http", "https")
        ),
    ],
)
async def test_a_proxy_that_fails_is_named_without_its_password(
    library: Any, kind: Kind, failure: Failure, scheme: str
) -> None:
    with running_proxy(kind, failure) as proxy, ScriptedServer([], strict=False) as server:
        client = _client(library, server, proxies=read_proxies({"ALL_PROXY": proxy.url}))
        url = server.base_url.replace("http://", f"{scheme}://")
        await _check_failure(client, url, f"ALL_PROXY ({kind}://127.0.0.1:{proxy.port})")


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
async def test_an_unreachable_proxy_is_named(library: Any, scheme: str) -> None:
    with socket.socket() as closed, ScriptedServer([], strict=False) as server:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        client = _client(
            library, server, proxies=read_proxies({"http_proxy": f"{scheme}://{CREDENTIALS}@127.0.0.1:{port}"})
        )
        await _check_failure(client, server.base_url, f"http_proxy ({scheme}://127.0.0.1:{port})")


async def test_a_proxy_that_speaks_another_protocol_is_named(library: Any) -> None:
    with running_proxy("http") as proxy, ScriptedServer([], strict=False) as server:
        url = proxy.url.replace("http://", "socks5://")
        client = _client(library, server, proxies=read_proxies({"http_proxy": url}))
        # The HTTP proxy waits for the end of a head: the connect timeout limits the wait.
        assert client.timeout.connect == 10.0
        client.timeout = library.Timeout(None, connect=0.2)
        await _check_failure(client, server.base_url, f"http_proxy (socks5://127.0.0.1:{proxy.port})")


async def _check_failure(client: Any, url: str, name: str) -> None:
    with pytest.raises(Exception, match=None) as caught:  # noqa: PT011  of two libraries
        await _post(client, url)
    error = translate_error(caught.value, HERE)
    assert isinstance(error, ProviderUnavailable), caught.value
    assert "cannot be reached through the proxy" in str(error)
    assert name in str(error)
    assert PASSWORD not in f"{error} {caught.value!r} {caught.value}"


async def test_an_unusable_proxy_url_is_a_configuration_error(library: Any) -> None:
    with ScriptedServer([], strict=False) as server:
        client = _client(library, server, proxies=read_proxies({"HTTP_PROXY": "gopher://x"}))
        with pytest.raises(UsageError, match="HTTP_PROXY names a gopher:// proxy"):
            await _post(client, server.base_url)


async def test_the_query_is_added_to_that_of_the_request(library: Any) -> None:
    query = "api-version=2024-02-01&key=a%2Fb%20c&flag"
    with ScriptedServer([Reply("y"), Reply("y")], strict=False) as server:
        async with _client(library, server, query=query) as client:
            paths = [f"{server.base_url}/chat/completions{own}" for own in ("", "?alt=sse&api-version=1")]
            first, second = [(await client.post(path, json={"model": "m", "messages": []})).url for path in paths]
    assert first.path == "/v1/chat/completions"
    assert first.params == library.QueryParams(query)
    assert second.params == library.QueryParams(f"{query}&alt=sse")


async def test_a_redirect_is_not_followed(library: Any) -> None:
    with ScriptedServer([Raw(b"", status=307, headers={"Location": "/elsewhere"})], strict=False) as server:
        assert (await _post(_client(library, server), server.base_url)).status_code == 307
        assert len(server.requests) == 1
