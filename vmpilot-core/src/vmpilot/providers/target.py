"""A model call's address and key, described for the user in one line without any key or password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from vmpilot.contract.errors import AuthenticationFailed
from vmpilot.contract.request import ModelCall, ModelSettings
from vmpilot.contract.secret import Secret
from vmpilot.contract.secret_values import is_worth_masking
from vmpilot.providers.model_names import ModelName, parse_model_name
from vmpilot.providers.provider_table import find_provider

NO_KEY = "none"
"""The key for a `base_url` server if no key is set: it must not get the provider's own key."""

_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.))*")
_LONGEST_QUOTE = 300
_LOOKED_AT = 10_000
_TRACEBACK = "Traceback (most recent call last)"
_NAMED_KEY = r"""(?i)(\bbearer\s+|\bkey[=:]\s*)[^\s"'&,;]{6,}"""
_BARE_KEY = r"\b(?:(?:sk|pk|gsk|xai|pplx|hf|key)[-_]|AIza)[\w*.-]{6,}"


class ModelTarget(msgspec.Struct, frozen=True):
    """A model at its provider; its `str` is its name in error messages.

    `key_variable` is the variable for the provider's own key, or None if no key is needed. `key` is used only for
    validation and masking.
    """

    name: ModelName
    base_url: str | None = None
    key: Secret | None = None
    key_variable: str | None = None

    def __str__(self) -> str:
        return f"{self.name} at {_strip_secrets(self.base_url)}" if self.base_url else str(self.name)

    def __repr__(self) -> str:
        return f"ModelTarget({self})"

    @property
    def key_variables(self) -> str:
        """The variables that may hold a key for this target, as text for a message."""
        own = None if self.base_url else self.key_variable
        return f"{own} or VMPILOT_API_KEY" if own else "VMPILOT_API_KEY"

    def check_key(self) -> None:
        """Raise `AuthenticationFailed` for a key that cannot be sent at all."""
        key = self.key.reveal() if self.key else ""
        if not (key.isascii() and key.isprintable()):
            raise AuthenticationFailed(
                f"The key for {self} contains invalid characters, perhaps a line break: set {self.key_variables}"
            )

    def missing_key(self) -> AuthenticationFailed:
        """The error to raise if there is no key."""
        return AuthenticationFailed(f"There is no key for {self}: set {self.key_variables}")

    def quote(self, text: str) -> str:
        """The provider's text for a message: one short line without HTML, key or control characters."""
        if text.lstrip()[:1] == "<":
            return ""
        text = text[:_LOOKED_AT].partition(_TRACEBACK)[0]
        key = self.key.reveal() if self.key else ""
        if is_worth_masking(key):
            text = text.replace(key, "…")
        text = re.sub(_BARE_KEY, "…", re.sub(_NAMED_KEY, r"\1…", text))
        line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
        return line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1] + "…"


def find_target(call: ModelCall, *, key_variables: Mapping[str, str] | None = None) -> ModelTarget:
    """The target of this call.

    `key_variables` are the backend library's own names, by provider.

    Raises `ModelNotFound` if the provider is unknown.
    """
    settings = call.settings
    name = parse_model_name(call.model, base_url=settings.base_url)
    variable = (key_variables or {}).get(name.provider, find_provider(name.provider).key_variable)
    return ModelTarget(name, settings.base_url, settings.api_key, variable)


def read_base_url(text: str) -> str:
    """A valid base URL, without surrounding space and trailing slash.

    Raises `ValueError` for any other text, with a reason that does not quote the text: it may contain a password.
    """
    text = text.strip()
    if not text.isprintable() or " " in text:
        raise ValueError("it contains a space or a control character")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("its host or port is invalid") from None
    if parts.scheme not in {"http", "https"} or not text.lower().startswith(f"{parts.scheme}://"):
        raise ValueError("it does not start with http:// or https://")
    if not parts.hostname:
        raise ValueError("it has no host")
    if not _is_host(parts.hostname) or port == 0:
        raise ValueError("its host or port is invalid")
    if "#" in text:
        raise ValueError("it has a fragment (#), which is never sent to a server")
    address, mark, query = text.partition("?")
    return f"{address.rstrip('/')}{mark if query else ''}{query}"


def _is_host(host: str) -> bool:
    try:
        if ":" in host:
            return ip_address(host).version == 6
        if not host.isascii():
            from idna import encode

            host = encode(host.lower()).decode()
    except ValueError:  # idna's error is one, too
        return False
    return _HOST.fullmatch(host) is not None


def choose_key(settings: ModelSettings) -> str | None:
    """The key to send; None means that the library uses the provider's variables, never for the user's own server."""
    if settings.api_key is not None:
        return settings.api_key.reveal()
    return NO_KEY if settings.base_url is not None else None


def _strip_secrets(url: str) -> str:
    """The URL, possibly invalid, without user, password, query and fragment."""
    return re.sub(r"[?#].*", "", re.sub(r"(?<=//)[^/?#]*@", "", url), flags=re.DOTALL)
