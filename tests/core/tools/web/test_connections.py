"""Where `web_fetch` connects to, with redirects and proxies: checked addresses only; and how it disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from vmpilot.contract import ToolError, read_proxies
from vmpilot.tools.web import WebFetch
from vmpilot.tools.web._fetch import Limits

from .conftest import USE, Certificates, Fetch, Resolver, Site, proxies_of, proxy_to, run_site

OPENED = ["127.0.0.1"]


@pytest.fixture
async def secure_site(certificates: Certificates) -> AsyncIterator[Site]:
    async for site in run_site(certificates.server("shop.example")):
        yield site


async def test_redirects_within_the_host_are_followed(site: Site, fetch: Fetch) -> None:
    site.sends_on("/a", "b/c?d=e", 301)
    site.sends_on("/b/c", site.url("/end"), 307)
    site.has("/end", "arrived", kind="text/plain")
    found = await fetch(site.url("/a"))
    assert found.text.startswith(f"[{site.url('/end')}: 200 OK")
    assert found.text.endswith("arrived")
    assert [seen.target for seen in site.seen] == ["/a", "/b/c?d=e", "/end"]


@pytest.mark.parametrize(
    "target", ["http://127.0.0.2:{port}/x", "http://127.0.0.1:1/x", "https://127.0.0.1:{port}/x", "//other.example/x"]
)
async def test_a_redirect_to_another_place_is_reported_and_not_followed(site: Site, fetch: Fetch, target: str) -> None:
    site.sends_on("/a", target.format(port=site.port))
    found = await fetch(site.url("/a"))
    wanted = target.format(port=site.port)
    assert f"redirects to another site: {wanted if ':' in wanted[:6] else 'http:' + wanted}\n" in found.text
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "http://a:b@127.0.0.1/", "http://[::1", "gopher://127.0.0.1/"]
)
async def test_a_redirect_to_an_invalid_address_is_an_error(site: Site, fetch: Fetch, target: str) -> None:
    site.sends_on("/a", target)
    with pytest.raises(ToolError):
        await fetch(site.url("/a"))


async def test_endless_redirects_are_an_error(site: Site, fetch: Fetch) -> None:
    site.sends_on("/a", "/a")
    with pytest.raises(ToolError, match="Too many redirects"):
        await fetch(site.url("/a"))
    assert len(site.seen) == 6


async def test_a_name_is_resolved_once_and_that_address_is_used(site: Site) -> None:
    resolver = Resolver(shop_example=[["127.0.0.1"], ["169.254.169.254"]])
    site.has("/a", "arrived", kind="text/plain")
    tool = WebFetch(resolve=resolver, opened=OPENED)
    found = await tool.run({"url": site.url("/a", "shop.example")}, USE)
    assert found.text.endswith("arrived")
    assert resolver.asked == ["shop.example"]
    assert site.seen[0].headers["host"] == f"shop.example:{site.port}"


async def test_a_name_that_becomes_private_between_redirects_is_rejected(site: Site) -> None:
    resolver = Resolver(shop_example=[["127.0.0.1"], ["127.0.0.53"]])
    site.sends_on("/a", "/b")
    tool = WebFetch(resolve=resolver, opened=OPENED)
    with pytest.raises(ToolError, match=r"shop\.example has the address 127\.0\.0\.53 \(this machine\)"):
        await tool.run({"url": site.url("/a", "shop.example")}, USE)
    assert [seen.path for seen in site.seen] == ["/a"]


async def test_loopback_is_rejected_by_default(site: Site) -> None:
    with pytest.raises(ToolError, match="only reaches the public internet"):
        await WebFetch().run({"url": site.url("/")}, USE)
    assert site.seen == []


async def test_the_next_address_is_tried_if_the_first_refuses_the_connection(site: Site) -> None:
    resolver = Resolver(shop_example=[["127.0.0.9", "127.0.0.1"]])
    site.has("/a", "arrived", kind="text/plain")
    tool = WebFetch(resolve=resolver, opened=["127.0.0.0/8"])
    assert (await tool.run({"url": site.url("/a", "shop.example")}, USE)).text.endswith("arrived")


async def test_tls_verifies_the_host_at_the_checked_address(secure_site: Site, certificates: Certificates) -> None:
    secure_site.has("/a", "arrived", kind="text/plain")
    resolver = Resolver(shop_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    tool = WebFetch(resolve=resolver, opened=OPENED, certificates=certificates.file)
    found = await tool.run({"url": secure_site.url("/a", "shop.example")}, USE)
    assert found.text.endswith("arrived")
    with pytest.raises(ToolError, match=r"(?i)hostname mismatch|certificate"):
        await tool.run({"url": secure_site.url("/a", "other.example")}, USE)
    with pytest.raises(ToolError, match=r"(?i)certificate"):
        await WebFetch(resolve=resolver, opened=OPENED).run({"url": secure_site.url("/a", "shop.example")}, USE)


async def test_a_proxy_gets_the_checked_address(secure_site: Site, certificates: Certificates) -> None:
    secure_site.has("/a", "arrived", kind="text/plain")
    resolver = Resolver(shop_example=[["127.0.0.1"]], inner_example=[["10.0.0.1"]])
    async with proxy_to(secure_site) as proxy:
        tool = WebFetch(resolve=resolver, opened=OPENED, certificates=certificates.file, proxies=proxies_of(proxy.url))
        found = await tool.run({"url": secure_site.url("/a", "shop.example")}, USE)
        assert found.text.endswith("arrived")
        with pytest.raises(ToolError, match="a private network"):
            await tool.run({"url": "https://inner.example/"}, USE)
    assert proxy.tunnels == [f"127.0.0.1:{secure_site.port}"]


@pytest.mark.parametrize(("no_proxy", "tunnels"), [("shop.example", 0), ("10.0.0.0/8 .example", 0), ("127.0.0.0/8", 1)])
async def test_no_proxy_applies_to_the_host_and_not_to_its_address(
    secure_site: Site, certificates: Certificates, no_proxy: str, tunnels: int
) -> None:
    secure_site.has("/a", "arrived", kind="text/plain")
    resolver = Resolver(shop_example=[["127.0.0.1"]])
    async with proxy_to(secure_site) as proxy:
        proxies = read_proxies({"HTTPS_PROXY": proxy.url, "NO_PROXY": no_proxy})
        tool = WebFetch(resolve=resolver, opened=OPENED, certificates=certificates.file, proxies=proxies)
        found = await tool.run({"url": secure_site.url("/a", "shop.example")}, USE)
        assert found.text.endswith("arrived")
    assert len(proxy.tunnels) == tunnels


async def test_a_proxy_that_cannot_be_used_is_an_error_without_its_password() -> None:
    tool = WebFetch(resolve=Resolver(a_example=[["1.1.1.1"]]), proxies=proxies_of("gopher://me:secret@127.0.0.1"))
    with pytest.raises(ToolError, match="proxy") as caught:
        await tool.run({"url": "https://a.example/"}, USE)
    assert "secret" not in str(caught.value)


async def test_an_unknown_or_unreachable_host_is_named(site: Site, fetch: Fetch) -> None:
    with pytest.raises(ToolError, match=r"The host nobody\.example was not found: Name or service not known"):
        await WebFetch(resolve=Resolver()).run({"url": "https://nobody.example/"}, USE)
    with pytest.raises(ToolError, match=r"Cannot fetch http://127\.0\.0\.1:1/: "):
        await fetch("http://127.0.0.1:1/")


async def test_a_broken_response_is_an_error(site: Site, fetch: Fetch) -> None:
    site.has("/short", "abc", kind="text/plain", content_length="10")

    async def talk_nonsense(_: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")

    site.on("/odd", talk_nonsense)
    for path in ("/short", "/odd"):
        with pytest.raises(ToolError, match="Cannot fetch"):
            await fetch(site.url(path))


async def test_a_slow_response_times_out(site: Site) -> None:
    site.never_ends("/slow", b"a few bytes")
    tool = WebFetch(opened=OPENED, limits=Limits(seconds=0.3))
    with pytest.raises(ToolError, match=r"took longer than 0\.3 s"):
        await tool.run({"url": site.url("/slow")}, USE)
    await asyncio.wait_for(site.gone.wait(), 10)


@pytest.mark.parametrize("first", [b"", b"a few bytes"])
async def test_canceling_closes_the_connection_at_once(site: Site, fetch: Fetch, first: bytes) -> None:
    site.never_ends("/slow", first)
    running = asyncio.create_task(fetch(site.url("/slow")))
    await site.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(site.gone.wait(), 10)
