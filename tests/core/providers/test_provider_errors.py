"""Error bodies of providers and their meaning. The messages are tested through real backends, in tests/system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from vmpilot.contract import AuthenticationFailed, ContextOverflow, ModelError, QuotaExhausted, RateLimited, Secret
from vmpilot.providers import ErrorResponse, ModelName, ModelTarget, make_model_error, read_error_body, read_retry_after

HERE = ModelTarget(ModelName("openai", "m"), "http://host/v1")
GOOGLES = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ({"error": {"message": "No.", "type": "t", "code": "c"}}, ErrorResponse(None, "c t", "No.")),
        ({"message": "No.", "type": "t", "code": None}, ErrorResponse(None, "t", "No.")),
        (
            [{"error": {"code": 503, "message": "No.", "status": "UNAVAILABLE"}}],
            ErrorResponse(503, "503 UNAVAILABLE", "No."),
        ),
        ({"object": "error", "message": "No.", "code": "404"}, ErrorResponse(404, "404", "No.")),
        ({"error": "No."}, ErrorResponse(None, "", "No.")),
        (
            {"detail": [{"loc": ["body"], "msg": "missing"}]},
            ErrorResponse(None, "", '[{"loc": ["body"], "msg": "missing"}]'),
        ),
        ({"error": {"message": ""}}, ErrorResponse(None, "", "")),
        ({"odd": 1}, ErrorResponse(None, "", '{"odd": 1}')),
        ("No.", ErrorResponse(None, "", "No.")),
        ("", ErrorResponse(None, "", "")),
    ],
)
def test_error_bodies_of_every_shape(body: Any, failure: ErrorResponse) -> None:
    assert read_error_body(body) == failure


def test_a_deeply_nested_body_is_read() -> None:
    body: Any = "deep"
    for _ in range(5000):
        body = {"error": [body]}
    assert read_error_body(body).status is None


def test_status_and_headers_take_precedence_over_the_body() -> None:
    headers = {"Retry-After": "7", "Location": "http://elsewhere"}
    failure = read_error_body({"error": {"code": 500}}, status=429, headers=headers)
    assert (failure.status, failure.retry_after, failure.place) == (429, 7.0, "http://elsewhere")


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ErrorResponse(429, "RESOURCE_EXHAUSTED", GOOGLES), RateLimited),
        (ErrorResponse(429, "insufficient_quota", GOOGLES), QuotaExhausted),
        (ErrorResponse(None, "ContextWindowExceededError", "litellm"), ContextOverflow),
        (ErrorResponse(None, "", "nobody knows"), ModelError),
        (ErrorResponse(401, "", "Missing API key"), AuthenticationFailed),
    ],
)
def test_the_text_decides_if_the_status_does_not(failure: ErrorResponse, kind: type[ModelError]) -> None:
    assert type(make_model_error(failure, HERE)) is kind


def test_a_key_that_was_sent_is_not_reported_as_missing() -> None:
    failure = ErrorResponse(401, "", "Missing API key")
    assert str(make_model_error(failure, HERE)).startswith("There is no key for openai/m at http://host/v1: set")
    with_key = ModelTarget(HERE.name, HERE.base_url, Secret("sk-0123456789"))
    assert "rejected the key (status 401: Missing API key); set VMPILOT_API_KEY" in str(
        make_model_error(failure, with_key)
    )


def test_the_text_of_a_provider_is_not_a_template() -> None:
    sentence = str(make_model_error(ErrorResponse(307, "", "{place} {0}", place="{variables}"), HERE))
    assert "redirects to {variables}, and the key must not be sent there (status 307: {place} {0})" in sentence


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"date": "Sun, 06 Nov 1994 08:49:37 GMT", "retry-after": "Sun, 06 Nov 1994 09:49:37 GMT"}, 3600.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers) == seconds


def test_retry_after_with_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    seconds = read_retry_after({"retry-after": date})
    assert seconds is not None
    assert 3500 < seconds <= 3600


def test_only_the_beginning_of_a_long_text_decides() -> None:
    told, beyond = ("x" * size + " This model's maximum context length is 8192." for size in (9_000, 1_000_000))
    assert isinstance(make_model_error(ErrorResponse(400, "", told), HERE), ContextOverflow)
    assert not isinstance(make_model_error(ErrorResponse(400, "", beyond), HERE), ContextOverflow)
