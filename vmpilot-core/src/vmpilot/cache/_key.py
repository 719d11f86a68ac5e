"""What a request is known by: a digest of all that shapes the answer, which nobody without the API key can compute.

The same secret seals the entry, so that whoever can write to a shared cache cannot put words into the model's mouth.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from vmpilot.contract import CONTRACT_VERSION, Message, ModelCall, VMPilotError
from vmpilot.providers import choose_key, find_target

FORMAT = 1
"""Raised when entries of the old form, or under the old names, must not be found any more."""

_SEAL_SIZE = hashlib.sha256().digest_size

_PREFIXES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "azure_ai": ("AZURE_",),
        "bedrock": ("AWS_",),
        "gemini": ("GEMINI_", "GOOGLE_"),
        "google_genai": ("GEMINI_", "GOOGLE_"),
        "vertex_ai": ("VERTEX", "GOOGLE_"),
    }
)
"""How a provider's own variables begin, where that is not its name."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks, for telling apart what is asked in the same words.

    `engine` is the backend and its version, `tool_mode` how it asks for tools. `variables` are the environment's: those
    of the provider lead to its server and the account. `stand_ins` name what a server at an address of the moment
    serves: `{base_url: model}`.
    """

    engine: str
    tool_mode: str = "auto"
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    stand_ins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EntryKey:
    """The name under which an answer is kept, and the seal that shows it to be ours."""

    name: str
    _secret: bytes = field(repr=False)

    def seal(self, answer: bytes) -> bytes:
        """The answer as it is kept."""
        return hmac.digest(self._secret, answer, "sha256") + answer

    def unseal(self, entry: bytes) -> bytes | None:
        """The answer, None for an entry that was not sealed with this key."""
        seal, answer = entry[:_SEAL_SIZE], entry[_SEAL_SIZE:]
        return answer if hmac.compare_digest(seal, hmac.digest(self._secret, answer, "sha256")) else None


def entry_key(call: ModelCall, origin: Origin, *, comparable: Callable[[Message], Message]) -> EntryKey | None:
    """The key of a request; None for one whose model belongs to no provider.

    `comparable` takes out of a message what differs each time and means nothing to the model. Time limits do not
    count, nor whether the answer is streamed, nor what the server is known to ignore.
    """
    try:
        account = _account(call, origin)
    except VMPilotError:  # the backend says it better
        return None
    request = _canonical(
        {
            "format": FORMAT,
            "contract": CONTRACT_VERSION,
            "engine": origin.engine,
            "tool_mode": origin.tool_mode,
            "model": call.model,
            "system": call.system,
            "messages": [comparable(message) for message in call.messages],
            "tools": call.tools,
            "temperature": call.settings.temperature,
            "max_tokens": call.settings.max_tokens,
            "reasoning_effort": call.settings.reasoning_effort,
            "seed": call.settings.seed,
        }
    )
    secret = hmac.digest(account, request, "sha256")
    return EntryKey(hmac.digest(secret, b"name", "sha256").hex(), hmac.digest(secret, b"seal", "sha256"))


def _account(call: ModelCall, origin: Origin) -> bytes:
    """The server and who we are to it. Raises `ModelNotFound`."""
    settings = call.settings
    if stand_in := origin.stand_ins.get(settings.base_url or ""):
        return _canonical([stand_in])
    if settings.base_url is not None:  # a server of the user's, which never gets what is the provider's
        return _canonical([settings.base_url, settings.query, choose_key(settings)])
    provider = find_target(call).name.provider
    prefixes = _PREFIXES.get(provider, (f"{provider.upper()}_",))
    variables = {name: value for name, value in origin.variables.items() if name.startswith(prefixes)}
    return _canonical([choose_key(settings), variables])


def _canonical(value: object) -> bytes:
    return json.dumps(msgspec.to_builtins(value), sort_keys=True, separators=(",", ":")).encode()
