"""The key of a cached answer: a digest of everything that affects it, which requires the API key to compute.

The same secret seals the entry, so that write access to a shared cache is not enough to forge an answer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from vmpilot.contract import CONTRACT_VERSION, Message, ModelCall, VMPilotError
from vmpilot.providers import choose_key, find_provider, find_target

FORMAT = 1
"""Increment it to invalidate existing entries."""

_SEAL_SIZE = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a request, which separates equal requests of different users and engines.

    `engine` is the backend and its version, `tool_mode` the way that the model calls tools. `variables` are those of
    the environment; the provider's variables select its server and the account. `stand_ins` maps temporary server
    addresses to the models that they serve: `{base_url: model}`.
    """

    engine: str
    tool_mode: str = "auto"
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    stand_ins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EntryKey:
    """The name of a cached answer, and the seal that proves its origin."""

    name: str
    _secret: bytes = field(repr=False)

    def seal(self, answer: bytes) -> bytes:
        """The entry to store."""
        return hmac.digest(self._secret, answer, "sha256") + answer

    def unseal(self, entry: bytes) -> bytes | None:
        """The answer, or None if the entry was not sealed with this key."""
        seal, answer = entry[:_SEAL_SIZE], entry[_SEAL_SIZE:]
        return answer if hmac.compare_digest(seal, hmac.digest(self._secret, answer, "sha256")) else None


def entry_key(call: ModelCall, origin: Origin, *, comparable: Callable[[Message], Message]) -> EntryKey | None:
    """The key of a request; None if the provider of its model is unknown.

    `comparable` removes parts of a message that differ each time and do not matter to the model. Time limits,
    streaming, and parameters that the server is known to reject are not part of the key.
    """
    try:
        account = _account(call, origin)
    except VMPilotError:  # the backend reports it
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
    """The server and the user's account there. Raises `ModelNotFound`."""
    settings = call.settings
    if stand_in := origin.stand_ins.get(settings.base_url or ""):
        return _canonical([stand_in])
    if settings.base_url is not None:  # the user's own server, which never gets the provider's key
        return _canonical([settings.base_url, settings.query, choose_key(settings)])
    prefixes = find_provider(find_target(call).name.provider).variable_prefixes
    variables = {name: value for name, value in origin.variables.items() if name.startswith(prefixes)}
    return _canonical([choose_key(settings), variables])


def _canonical(value: object) -> bytes:
    return json.dumps(msgspec.to_builtins(value), sort_keys=True, separators=(",", ":")).encode()
