"""Everything that can go wrong with a backend or its model, drawn once::

    VMPilotError                        exit_code  retryable
    ├── UsageError                      2          no     wrong option, configuration or argument
    ├── TurnStopped                     3          no     a limit of the turn
    ├── BackendError                    5          no     no usable backend
    ├── StoreError                      1          no     the conversation log cannot be read or written
    └── ModelError                      1          no
        ├── AuthenticationFailed                   no     no key, a wrong key, no permission
        ├── ModelNotFound                          no
        ├── InvalidRequest                         no     the provider refuses the request as such
        │   ├── ContextOverflow                    no     (the core compacts and asks again)
        │   ├── ToolsUnsupported                   no     (the core asks again by the text protocol)
        │   └── ParameterRefused                   no     (the core asks again without it)
        ├── ContentFiltered                        no
        ├── RateLimited                            yes    `retry_after` seconds, if the provider says
        ├── QuotaExhausted                         no     a rate limit that waiting does not heal
        ├── ProviderUnavailable                    yes    refused, 5xx, overloaded
        ├── ModelTimeout                           yes    one of the core's time limits
        ├── StreamInterrupted                      yes    the stream broke before its proper end
        └── BadResponse                            yes    an answer that cannot be parsed

A backend maps its library's exceptions onto the model errors at one border, `raise … from exc`. Whether trying again
can help and which exit code follows are facts of the class, never of a caller's `isinstance` ladder. Messages are
sentences for a person: what happened, to which thing, what to do next; never a key.
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
    """A limit of the turn is reached; raised through the backend by the core, which says the rest."""

    exit_code = 3


class BackendError(VMPilotError):
    """No usable backend: not installed, broken, or made for another contract."""

    exit_code = 5


class StoreError(VMPilotError):
    """The conversation log cannot be read or written; the turn stops before its next effect."""


class ModelError(VMPilotError):
    """The model or its provider failed. `another_may_answer` says whether a fallback model is worth asking."""

    another_may_answer: ClassVar[bool] = True


class AuthenticationFailed(ModelError):
    """No key, a wrong key, or a key without the permission."""


class ModelNotFound(ModelError):
    """The provider does not know the model, or the key may not use it."""


class InvalidRequest(ModelError):
    """The provider refuses the request as such; sending it again changes nothing."""

    another_may_answer = False


class ContextOverflow(InvalidRequest):
    """The conversation is larger than the model's context window."""


class ToolsUnsupported(InvalidRequest):
    """The model, or its server, takes no tools."""


class ParameterRefused(InvalidRequest):
    """The server does not take one member of the request, `parameter`, without which it can be asked as well."""

    def __init__(self, message: str, *, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class MessagesRefused(InvalidRequest):
    """The server does not take the conversation's messages in the form in which they were sent.

    `refused` says what is wrong with them; `ModelCalls` sends them in another form if there is one.
    """

    another_may_answer = True

    def __init__(self, message: str, *, refused: RefusedMessages) -> None:
        super().__init__(message)
        self.refused = refused


class ContentFiltered(ModelError):
    """The provider's content policy rejected the request. It is never sent to another model behind the user's back."""

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
    """The provider is unreachable, overloaded, or failed; `retry_after` is in seconds, if it said."""

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
