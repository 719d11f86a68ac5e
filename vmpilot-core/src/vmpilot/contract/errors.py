"""All errors of backends and their models::

    VMPilotError                        exit_code  retryable
    ├── UsageError                      2          no     wrong option, configuration or argument
    ├── TurnStopped                     3          no     a limit of the turn
    ├── BackendError                    5          no     no usable backend
    ├── StoreError                      1          no     the conversation log cannot be read or written
    └── ModelError                      1          no
        ├── AuthenticationFailed                   no     no key, a wrong key, no permission
        ├── ModelNotFound                          no
        ├── InvalidRequest                         no     the provider rejects the request as invalid
        │   ├── ContextOverflow                    no     (the core compacts and retries)
        │   ├── ToolsUnsupported                   no     (the core retries with the text protocol)
        │   └── ParameterRefused                   no     (the core retries without it)
        ├── ContentFiltered                        no
        ├── RateLimited                            yes    `retry_after` seconds, if the provider says
        ├── QuotaExhausted                         no     a limit that waiting does not lift
        ├── ProviderUnavailable                    yes    refused, 5xx, overloaded
        ├── ModelTimeout                           yes    one of the core's time limits
        ├── StreamInterrupted                      yes    the stream broke before its proper end
        └── BadResponse                            yes    an answer that cannot be parsed

A backend maps its library's exceptions onto the model errors at one border, `raise … from exc`. Whether a retry can
help and the exit code are facts of the class, so callers need no `isinstance` ladder. Messages are sentences for the
user: what happened, to which thing, what to do next; never a key.
"""

from __future__ import annotations

from typing import ClassVar

from vmpilot.contract.refused_messages import RefusedMessages


class VMPilotError(Exception):
    """The root: a clear message for the user."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False


class UsageError(VMPilotError):
    """A wrong option, argument or configuration value."""

    exit_code = 2


class TurnStopped(VMPilotError):
    """A limit of the turn is reached; raised through the backend by the core, which reports the details."""

    exit_code = 3


class BackendError(VMPilotError):
    """No usable backend: not installed, broken, or made for another contract."""

    exit_code = 5


class StoreError(VMPilotError):
    """The conversation log cannot be read or written; the turn stops before its next effect."""


class ModelError(VMPilotError):
    """The model or its provider failed. `another_may_answer` means that a fallback model may succeed."""

    another_may_answer: ClassVar[bool] = True


class AuthenticationFailed(ModelError):
    """No key, a wrong key, or a key without the permission."""


class ModelNotFound(ModelError):
    """The provider does not know the model, or the key may not use it."""


class InvalidRequest(ModelError):
    """The provider rejects the request as invalid; a retry would not help."""

    another_may_answer = False


class ContextOverflow(InvalidRequest):
    """The conversation is larger than the model's context window."""


class ToolsUnsupported(InvalidRequest):
    """The model or its server does not support tools."""


class ParameterRefused(InvalidRequest):
    """The server does not accept the optional request parameter named `parameter`."""

    def __init__(self, message: str, *, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class MessagesRefused(InvalidRequest):
    """The server does not accept the conversation's messages in the form in which they were sent.

    `refused` describes the problem; `ModelCalls` sends the messages in another form if possible.
    """

    another_may_answer = True

    def __init__(self, message: str, *, refused: RefusedMessages) -> None:
        super().__init__(message)
        self.refused = refused


class ContentFiltered(ModelError):
    """The provider's content policy rejected the request. It is never silently sent to another model."""

    another_may_answer = False


class RateLimited(ModelError):
    """Too many requests; `retry_after` is in seconds, None if the provider did not say."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaExhausted(ModelError):
    """The account has no credit left; waiting does not help."""


class ProviderUnavailable(ModelError):
    """The provider is unreachable, overloaded, or failed; `retry_after` is in seconds, or None."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelTimeout(ModelError):
    """One of the time limits for a model call passed."""

    retryable = True


class StreamInterrupted(ModelError):
    """The provider's stream broke before its proper end."""

    retryable = True


class BadResponse(ModelError):
    """The provider's response is not an answer."""

    retryable = True
