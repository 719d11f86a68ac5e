"""Web addresses, and the IP addresses of the public internet."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from vmpilot.contract import Fetches, ToolError
from vmpilot.tools.web import WebFetch
from vmpilot.tools.web._address_policy import AddressPolicy, _is_own, find_closed
from vmpilot.tools.web._addresses import read_address

from .conftest import Resolver


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://Example.COM", "https://example.com/"),
        (" http://example.com:80/a ", "http://example.com/a"),
        ("https://example.com:8443/a?b=c&d=[1]#part", "https://example.com:8443/a?b=c&d=[1]"),
        ("https://example.com./", "https://example.com/"),
        ("https://example.com/a b/ü", "https://example.com/a%20b/%C3%BC"),
        ("https://example.com/%7Ea%20b", "https://example.com/%7Ea%20b"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://\uff45xample.com/", "https://example.com/"),
        ("http://[2001:DB8:0::1]:8080/", "http://[2001:db8::1]:8080/"),
        ("https://example.com?x", "https://example.com/?x"),
    ],
)
def test_an_address_is_normalized(given: str, meant: str) -> None:
    assert read_address(given).url == meant
    assert WebFetch().effect({"url": given}) == Fetches(meant)
    assert WebFetch().title({"url": given, "offset": 20_000}) == f"GET {meant} (from character 20,000)"


@pytest.mark.parametrize(
    "given",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "example.com",
        "//example.com/",
        "https:///path",
        "https://",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://example.com\\@evil.example/",
        "https://exa\tmple.com/",
        "https://example.com/\x00",
        "https://example.com/\u202egnp.exe",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://example.com:x/",
        "https://exam ple.com/",
        "https://example..com/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://ex%61mple.com/",
        "https://example.com/" + "a" * 4_000,
    ],
)
def test_an_invalid_address_is_rejected(given: str) -> None:
    with pytest.raises(ToolError) as caught:
        WebFetch().effect({"url": given})
    assert "secret" not in str(caught.value)


CLOSED = (
    *("0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1"),
)
OPEN = (
    *("1.1.1.1", "93.184.215.14", "100.63.255.255", "100.128.0.1", "172.32.0.1"),
    *("2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"),
)


@pytest.mark.parametrize("address", CLOSED)
async def test_an_address_that_is_not_public_is_rejected(address: str) -> None:
    assert find_closed(ip_address(address))
    with pytest.raises(ToolError, match=r"Not fetched: inner.example has the address"):
        await AddressPolicy(Resolver(inner_example=[[address]])).find("inner.example", 80)


@pytest.mark.parametrize("address", OPEN)
async def test_a_public_address_is_returned(address: str) -> None:
    assert find_closed(ip_address(address)) is None
    assert await AddressPolicy(Resolver(outer_example=[[address]])).find("outer.example", 80) == (address,)


async def test_one_private_address_among_public_ones_rejects_the_host() -> None:
    with pytest.raises(ToolError, match=r"10\.0\.0\.1 \(a private network\)"):
        await AddressPolicy(Resolver(mixed_example=[["1.1.1.1", "10.0.0.1"]])).find("mixed.example", 443)


@pytest.mark.parametrize("spelling", ["localhost", "2130706433", "0x7f.1", "127.1", "017700000001", "0"])
async def test_other_spellings_of_this_machine_are_rejected_after_resolution(spelling: str) -> None:
    with pytest.raises(ToolError, match=r"this machine|not found|not on the public"):
        await AddressPolicy().find(spelling, 80)


def test_own_addresses_are_recognized() -> None:
    assert _is_own(ip_address("127.0.0.1"))
    assert not _is_own(ip_address("1.1.1.1"))


async def test_only_the_allowed_network_is_reachable() -> None:
    policy = AddressPolicy(Resolver(a_example=[["10.0.0.1"]], b_example=[["10.0.1.1"]]), opened=["10.0.0.0/24"])
    assert await policy.find("a.example", 80) == ("10.0.0.1",)
    with pytest.raises(ToolError):
        await policy.find("b.example", 80)
