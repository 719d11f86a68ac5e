"""Whom a call to a model goes to, in words fit for an error message: no key, no password, one line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from vmpilot.contract import ModelCall, ModelName, parse_model_name
from vmpilot_backend_langchain.providers import find_provider

_LONGEST_QUOTE = 300
_LOOKS_LIKE_KEY = re.compile(r"\b(?:(?:sk|pk|gsk|xai|pplx|hf|key)[-_]|AIza)[\w*.-]{6,}|(?<=Bearer )\S+")


@dataclass(frozen=True)
class Target:
    """A model at its provider. `key` is only there to be blotted out."""

    name: ModelName
    base_url: str | None
    key: str | None

    def __str__(self) -> str:
        return f"{self.name} at {_strip_password(self.base_url)}" if self.base_url else str(self.name)

    def __repr__(self) -> str:
        return f"Target({self})"

    @property
    def key_advice(self) -> str:
        """Which variable holds the key."""
        variable = None if self.base_url else find_provider(self.name.provider).key_variable
        return f"Set {variable} or VMPILOT_API_KEY." if variable else "Set VMPILOT_API_KEY."

    def quote(self, text: str) -> str:
        """What the provider said, fit for a sentence: one line, not too long, without the key or a web page."""
        if text.lstrip()[:1] == "<":
            return ""
        if self.key:
            text = text.replace(self.key, "…")
        line = " ".join(_LOOKS_LIKE_KEY.sub("…", text[: 4 * _LONGEST_QUOTE]).split())
        return line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1] + "…"


def find_target(call: ModelCall) -> Target:
    """Whom this call goes to; raises `ModelNotFound` where the provider is not known."""
    settings = call.settings
    key = settings.api_key.reveal() if settings.api_key else None
    return Target(parse_model_name(call.model, base_url=settings.base_url), settings.base_url, key)


def _strip_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
