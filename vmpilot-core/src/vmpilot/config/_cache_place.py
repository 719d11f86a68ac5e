"""The setting `cache`: where answers are cached. A Redis URL may contain a password and prints without it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from vmpilot.contract import Secret

_SERVERS = ("redis", "rediss")
_NUMBER = re.compile(r"(?:/\d*)?")
"""The path of a Redis URL: the number of a database, or nothing."""


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Nowhere (`off`), in a folder on this machine (`disk`), or in the Redis server at `url`."""

    kind: Literal["off", "disk", "redis"] = "off"
    url: Secret | None = None

    def __str__(self) -> str:
        """The setting without the password and parameters of a URL."""
        if self.url is None:
            return self.kind
        url = urlsplit(self.url.reveal())
        user = f"{url.username}@" if url.username else ""
        return f"{url.scheme}://{user}{url.netloc.rpartition('@')[2]}{url.path}"


def read_cache_place(text: str) -> CachePlace:
    """Parse the setting. Raises `ValueError`, whose text does not repeat the value, because it may be secret."""
    match text:
        case "off" | "disk":
            return CachePlace(text)
        case _ if _is_address(text):
            return CachePlace("redis", Secret(text))
        case _:
            raise ValueError("expected off, disk or the URL of a Redis server")


def _is_address(text: str) -> bool:
    """Whether it is the URL of a Redis server and no special character in the password cuts it short."""
    try:
        return _leads_to_redis(urlsplit(text))
    except ValueError:
        return False


def _leads_to_redis(url: SplitResult) -> bool:
    if url.scheme == "unix":
        return url.path.startswith("/") and not url.hostname
    return url.scheme in _SERVERS and bool(url.hostname) and url.port != 0 and bool(_NUMBER.fullmatch(url.path))
