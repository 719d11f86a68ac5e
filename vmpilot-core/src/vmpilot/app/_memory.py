"""The memory of a conversation: backend, model and mode of the last turn. Options and variables override it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from vmpilot.config import Settings, address_of
from vmpilot.contract import TurnStarted, TurnTerms, UsageError

LOCAL = "local"
"""The model that needs no API key: `local`, or `local:/path/to/weights.gguf`."""

_MODES = ("observe", "operate", "full")
"""From the most to the least restrictive."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """The settings of a conversation's next turn. `changes` are phrases for the user: how they differ."""

    settings: Settings
    changes: tuple[str, ...] = ()


def is_local(model: str) -> bool:
    """Whether VMPilot itself runs the model."""
    return model.partition(":")[0] == LOCAL


def terms_of(settings: Settings, backend: str) -> TurnTerms:
    """The facts that the next turn remembers of a turn with these settings."""
    model = settings.model_for(backend)
    local = is_local(model)
    return TurnTerms(
        model=model,
        mode=settings.mode,
        address="" if local else address_of(settings.base_url),
        keyed=settings.api_key is not None and not local,
    )


def recall(
    settings: Settings, last: TurnStarted | None, *, backend: str, fixed: Collection[str], given: Collection[str]
) -> Recalled:
    """The settings for the next turn on `backend`, after the turn `last` of the same conversation.

    `fixed` are the settings that options and variables set, which override what is remembered; `given` are those that
    options set. The mode is the more restrictive of the two unless an option sets it. A base URL is never remembered,
    because the API key would be sent to it: raises `UsageError` if the model was at one and none is set now.
    """
    if last is None or last.terms is None:
        return Recalled(settings)
    then = last.terms
    if "mode" not in given and then.mode in _MODES:
        settings = msgspec.structs.replace(settings, mode=min(settings.mode, then.mode, key=_MODES.index))
    own = f"{backend}_model"
    decided_by = own if getattr(settings, own, None) else "model"
    if decided_by not in fixed:
        settings = _with_model_of(settings, then, backend=backend)
    return Recalled(settings, tuple(_changes(settings, last, then, backend=backend)))


def _with_model_of(settings: Settings, then: TurnTerms, *, backend: str) -> Settings:
    configured = settings.model_for(backend)
    if then.model == configured:
        return settings
    if not is_local(then.model):
        here = address_of(settings.base_url)
        if then.address and not here:
            raise UsageError(
                f"The conversation used model {then.model} at {then.address}, and base URLs are not remembered. "
                f"Add --base-url {then.address}, or choose another model with --model."
            )
        if then.address != here:
            return settings
    # A key that was set since then belongs to the configured model, which may be another provider's.
    key = settings.api_key if then.keyed or settings.base_url is not None else None
    return msgspec.structs.replace(settings, model=then.model, langchain_model=None, litellm_model=None, api_key=key)


def _changes(settings: Settings, last: TurnStarted, then: TurnTerms, *, backend: str) -> list[str]:
    model = settings.model_for(backend)
    changes = []
    if backend != last.backend:
        changes.append(f"backend {backend} instead of {last.backend}")
    if model != then.model:
        changes.append(f"model {model} instead of {then.model}")
    if settings.mode != then.mode and then.mode in _MODES:
        narrower = _MODES.index(settings.mode) < _MODES.index(then.mode)
        hint = f" (to switch back: --mode {then.mode})" if narrower else ""
        changes.append(f"mode {settings.mode} instead of {then.mode}{hint}")
    return changes
