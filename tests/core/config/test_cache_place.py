"""The values of the setting `cache`, and how they are shown."""

from __future__ import annotations

import pytest

from vmpilot.config import CachePlace, read_cache_place
from vmpilot.contract import Secret

PASSWORD = "kept-to-itself"


@pytest.mark.parametrize("word", ["off", "disk"])
def test_a_keyword_is_parsed(word: str) -> None:
    place = read_cache_place(word)
    assert (place.kind, place.url, str(place)) == (word, None, word)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        (f"redis://:{PASSWORD}@cache.example:6379/2", "redis://cache.example:6379/2"),
        (f"rediss://anna:{PASSWORD}@cache.example/?ssl_cert_reqs=none", "rediss://anna@cache.example/"),
        (f"redis://h/0?password={PASSWORD}", "redis://h/0"),
        (f"unix://:{PASSWORD}@/run/redis.sock?db=1", "unix:///run/redis.sock"),
        (f"redis://:{PASSWORD}@[::1]:6379", "redis://[::1]:6379"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    place = read_cache_place(url)
    assert (place.kind, place.url, str(place)) == ("redis", Secret(url), shown)
    assert PASSWORD not in repr(place)


@pytest.mark.parametrize(
    "text",
    [
        *("", "on", "Disk", "memory", "redis", "redis://", "redis:///0", "redis://h:0", "redis://h/name", "unix://"),
        *("unix://run/redis.sock", "http://h", "localhost:6379"),
        *(
            f"redis://u:{PASSWORD}#@h",
            f"redis://u:12/{PASSWORD}@h",
            f"redis://u:{PASSWORD}/@h",
            f"redis://h:{PASSWORD}",
        ),
    ],
)
def test_anything_else_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected off, disk or the URL of a Redis server$"):
        read_cache_place(text)


def test_it_is_off_by_default() -> None:
    assert CachePlace() == read_cache_place("off")
