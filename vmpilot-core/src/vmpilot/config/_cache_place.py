"""Where answers are cached, as the setting says it; a Redis's address may hold a password and prints without it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from vmpilot.contract import Secret

_SERVERS = ("redis", "rediss")
_NUMBER = re.compile(r"(?:/\d*)?")
"""Of a database, which is all that the path can be."""


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Nowhere (`off`), in a folder of this machine (`disk`), or in the Redis at `url`."""

    kind: Literal["off", "disk", "redis"] = "off"
    url: Secret | None = None

    def __str__(self) -> str:
        """The setting, as far as it may be shown: of an address neither password nor parameters."""
        if self.url is None:
            return self.kind
        url = urlsplit(self.url.reveal())
        user = f"{url.username}@" if url.username else ""
        return f"{url.scheme}://{user}{url.netloc.rpartition('@')[2]}{url.path}"


def read_cache_place(text: str) -> CachePlace:
    """The place that a setting names. Raises `ValueError`, whose text does not repeat it, where it names none."""
    match text:
        case "off" | "disk":
            return CachePlace(text)
        case _ if _is_address(text):
            return CachePlace("redis", Secret(text))
        case _:
            raise ValueError("neither off nor disk, nor the address of a Redis")


def _is_address(text: str) -> bool:
    """Whether it is one, and a strange sign in the password has not made it end too early."""
    try:
        return _leads_to_redis(urlsplit(text))
    except ValueError:
        return False


def _leads_to_redis(url: SplitResult) -> bool:
    if url.scheme == "unix":
        return url.path.startswith("/") and not url.hostname
    return url.scheme in _SERVERS and bool(url.hostname) and url.port != 0 and bool(_NUMBER.fullmatch(url.path))
