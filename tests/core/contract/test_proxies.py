"""Which proxy a URL goes through: the variables, NO_PROXY as curl reads it, and values that cannot be used."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.contract import UsageError, read_proxies

PROXY = "http://proxy.test:3128"
PASSWORD = "never-shown-0123456789"  # fictitious


def _find(url: str, **variables: str) -> str | None:
    proxy = read_proxies(variables).find(url)
    return None if proxy is None else proxy.address


def _excepts(no_proxy: str, url: str) -> bool:
    return _find(url, ALL_PROXY=PROXY, NO_PROXY=no_proxy) is None


@pytest.mark.parametrize(
    ("variables", "http", "https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": "http://a"}, "http://a", None),
        ({"HTTPS_PROXY": "http://a"}, None, "http://a"),
        ({"ALL_PROXY": "socks5://a:1"}, "socks5://a:1", "socks5://a:1"),
        ({"ALL_PROXY": "http://a", "HTTPS_PROXY": "http://b"}, "http://a", "http://b"),
        ({"http_proxy": "http://a", "HTTP_PROXY": "http://b"}, "http://a", None),
        ({"http_proxy": "", "HTTP_PROXY": "http://b"}, "http://b", None),
        ({"http_proxy": "", "HTTP_PROXY": "", "all_proxy": "http://c"}, "http://c", "http://c"),
        ({"HTTP_PROXY": "http://a", "REQUEST_METHOD": "GET"}, None, None),
        ({"http_proxy": "http://a", "REQUEST_METHOD": "GET"}, "http://a", None),
        ({"FTP_PROXY": "nonsense", "ftp_proxy": "http://[", "RSYNC_PROXY": "x"}, None, None),
        ({"HTTP_PROXY": "proxy.test:3128"}, "http://proxy.test:3128", None),
        ({"HTTP_PROXY": " http://proxy.test:3128/path?query "}, "http://proxy.test:3128", None),
        ({"HTTP_PROXY": "HTTP://user:pass@[::1]:3128"}, "http://user:pass@[::1]:3128", None),
        ({"HTTP_PROXY": "socks5h://a"}, "socks5h://a", None),
    ],
)
def test_variables(variables: dict[str, str], http: str | None, https: str | None) -> None:
    assert (_find("http://host/v1", **variables), _find("https://host/v1", **variables)) == (http, https)


@pytest.mark.parametrize(
    ("no_proxy", "url", "excepted"),
    [
        ("*", "https://anything", True),
        ("", "https://anything", False),
        ("example.com", "https://example.com/v1", True),
        ("example.com", "https://EXAMPLE.com./v1", True),
        ("example.com", "https://www.example.com/v1", True),
        ("example.com", "https://notexample.com/v1", False),
        ("example.com", "https://example.com.evil.test/v1", False),
        (".example.com", "https://example.com/v1", True),
        ("*.example.com", "https://www.example.com/v1", True),
        ("example.com.", "https://example.com/v1", True),
        ("localhost,127.0.0.1", "http://127.0.0.1:8000/v1", True),
        ("localhost 127.0.0.1", "http://127.0.0.1:8000/v1", True),
        (" localhost ,\t127.0.0.1 , ", "http://127.0.0.1:8000/v1", True),
        ("10.0.0.0/8", "http://10.1.2.3/v1", True),
        ("10.1.2.3/8", "http://10.200.2.3/v1", True),
        ("10.0.0.0/8", "http://11.1.2.3/v1", False),
        ("0.0.1", "http://127.0.0.1/v1", False),
        ("::1", "http://[::1]:8000/v1", True),
        ("[::1]", "http://[::1]:8000/v1", True),
        ("[::1]:8000", "http://[::1]:8000/v1", True),
        ("[::1]:8001", "http://[::1]:8000/v1", False),
        ("0:0::1", "http://[::1]/v1", True),
        ("::1/128", "http://[::1]/v1", True),
        ("[fd07:b51a:cc66:f0::]/64", "http://[fd07:b51a:cc66:f0::9]/v1", True),
        ("fd07:b51a:cc66:f0::/64", "http://[fd07:b51a:cc66:f0::9]/v1", True),
        ("fd07:b51a:cc66:f0::/64", "http://[fd07:b51a:cc66:f1::9]/v1", False),
        ("fe80::/10", "http://[fe80::1%25eth0]/v1", True),
        ("::1", "http://127.0.0.1/v1", False),
        ("host:8000", "http://host:8000/v1", True),
        ("host:8000", "http://host/v1", False),
        ("host:443", "https://host/v1", True),
        ("https://host", "https://host/v1", True),
        ("https://host", "http://host/v1", False),
        ("bücher.example", "https://xn--bcher-kva.example/v1", True),
        ("xn--bcher-kva.example", "https://bücher.example/v1", True),
        ("[::1,::1/999,1.2.3.4/99,:,://,.,*.,[]", "https://host/v1", False),
    ],
)
def test_exceptions(no_proxy: str, url: str, excepted: bool) -> None:
    assert _excepts(no_proxy, url) is excepted


def test_lower_case_wins_for_exceptions_too() -> None:
    assert _find("http://a", http_proxy=PROXY, no_proxy="b", NO_PROXY="a") == PROXY
    assert _find("http://a", http_proxy=PROXY, no_proxy="", NO_PROXY="a") is None


@pytest.mark.parametrize(
    "value",
    [
        "http://",
        "://host",
        "http://:3128",
        f"http://me:{PASSWORD}@",
        f"http://me:{PASSWORD}@host:port",
        f"http://me:{PASSWORD}@host:99999",
        f"http://me:{PASSWORD}@host:0",
        f"http://me:{PASSWORD}@[::1",
        f"http://me:{PASSWORD}@ho st",
        f"ftp://me:{PASSWORD}@host",
        f"socks4://me:{PASSWORD}@host",
        f"socks://me:{PASSWORD}@host",
    ],
)
@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_an_unusable_proxy_is_named_by_its_variable(variable: str, value: str) -> None:
    proxies = read_proxies({variable: value, "NO_PROXY": "local.test"})
    with pytest.raises(UsageError) as caught:
        proxies.find("https://host/v1")
    assert str(caught.value).startswith(f"{variable} ")
    assert PASSWORD not in str(caught.value)
    assert proxies.find("https://local.test/v1") is None  # not used there


def test_credentials_are_never_shown() -> None:
    proxies = read_proxies({"HTTPS_PROXY": f"http://me:{PASSWORD}@proxy.test:3128"})
    proxy = proxies.find("https://host/v1")
    assert str(proxy) == "HTTPS_PROXY (http://proxy.test:3128)"
    assert PASSWORD not in f"{proxy!r} {proxies!r} {proxies}"


@given(
    st.text(max_size=60),
    st.text(st.sampled_from("ab.:/[]%*, \t0159-@"), max_size=40),
    st.sampled_from(
        ["https://host/v1", "http://127.0.0.1:8/v1", "http://[::1]/", "http://[fe80::1%25e]/", "http://é.a/"]
    ),
)
def test_no_value_of_no_proxy_breaks_a_request(text: str, odd: str, url: str) -> None:
    for no_proxy in (text, odd):
        assert _find(url, ALL_PROXY=PROXY, NO_PROXY=no_proxy) in (None, PROXY)
        # An exception still applies next to any other entries.
        assert _find(url, ALL_PROXY=PROXY, NO_PROXY=f"{no_proxy},*") is None


@given(st.text(max_size=40))
def test_no_value_of_a_proxy_or_url_ends_in_another_error(text: str) -> None:
    for url in (f"http://{text}", text, "http://host"):
        with suppress(UsageError):
            proxy = read_proxies({"http_proxy": text}).find(url)
            assert proxy is None or proxy.address
