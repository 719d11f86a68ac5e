"""The tree of errors: the base, exit code and retryability of each class."""

from __future__ import annotations

import pytest

from vmpilot.contract import (
    AuthenticationFailed,
    BackendError,
    BadResponse,
    ContentFiltered,
    ContextOverflow,
    InvalidRequest,
    MessagesRefused,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    ParameterRefused,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    StoreError,
    StreamInterrupted,
    ToolsUnsupported,
    TurnStopped,
    UsageError,
    VMPilotError,
    errors,
)

TREE: dict[type[VMPilotError], tuple[type[Exception], int, bool]] = {
    VMPilotError: (Exception, 1, False),
    UsageError: (VMPilotError, 2, False),
    TurnStopped: (VMPilotError, 3, False),
    BackendError: (VMPilotError, 5, False),
    StoreError: (VMPilotError, 1, False),
    ModelError: (VMPilotError, 1, False),
    AuthenticationFailed: (ModelError, 1, False),
    ModelNotFound: (ModelError, 1, False),
    InvalidRequest: (ModelError, 1, False),
    ContextOverflow: (InvalidRequest, 1, False),
    ToolsUnsupported: (InvalidRequest, 1, False),
    ContentFiltered: (ModelError, 1, False),
    RateLimited: (ModelError, 1, True),
    QuotaExhausted: (ModelError, 1, False),
    ProviderUnavailable: (ModelError, 1, True),
    ModelTimeout: (ModelError, 1, True),
    StreamInterrupted: (ModelError, 1, True),
    BadResponse: (ModelError, 1, True),
}


@pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)
def test_each_class_has_its_base_exit_code_and_retryability(error: type[VMPilotError]) -> None:
    assert (error.__base__, error.exit_code, error.retryable) == TREE[error]
    assert str(error("a sentence")) == "a sentence"
    assert error.__doc__


def test_the_tree_is_complete() -> None:
    classes = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, VMPilotError)}
    assert classes == {*TREE, MessagesRefused, ParameterRefused}


def test_a_rejected_parameter_is_named() -> None:
    error = ParameterRefused("x", parameter="stream_options")
    assert (str(error), error.parameter) == ("x", "stream_options")
    assert (ParameterRefused.__base__, ParameterRefused.exit_code, ParameterRefused.retryable) == (
        InvalidRequest,
        1,
        False,
    )


@pytest.mark.parametrize("error", [RateLimited, ProviderUnavailable])
def test_some_errors_have_a_retry_time(error: type[RateLimited | ProviderUnavailable]) -> None:
    assert error("x").retry_after is None
    assert error("x", retry_after=2.5).retry_after == 2.5


@pytest.mark.parametrize("error", [kind for kind in (*TREE, ParameterRefused) if issubclass(kind, ModelError)])
def test_another_model_can_answer_unless_the_request_itself_was_rejected(error: type[ModelError]) -> None:
    assert error.another_may_answer == (not issubclass(error, InvalidRequest | ContentFiltered))
