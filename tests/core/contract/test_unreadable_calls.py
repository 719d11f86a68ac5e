"""Error texts of providers that could not parse their model's tool call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vmpilot.contract import BadResponse
from vmpilot.providers import ModelName, ModelTarget, make_model_error, read_error_body

HERE = ModelTarget(ModelName("openai", "m"), "http://host/v1")


def error(message: str, **members: Any) -> dict[str, Any]:
    return {"error": {"message": message, **members}}


def routed(body: object) -> dict[str, Any]:
    return error("Provider returned error", code=400, metadata={"raw": json.dumps(body), "provider_name": "x"})


FAILED = "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details."


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error(FAILED, type="invalid_request_error", code="tool_use_failed", failed_generation="<function=a>")),
        (
            400,
            error("Parsing failed. The model generated output that could not be parsed.", code="output_parse_failed"),
        ),
        (400, error("Tool choice is none, but model called a tool", code="tool_use_failed")),
        (400, error("tool call validation failed: attempted to call tool 'x' which was not in request.tools")),
        (400, routed(error(FAILED, code="tool_use_failed"))),
        (500, {"error": "error parsing tool call: raw='{' err=unexpected end of JSON input"}),
        (None, error(FAILED, code="tool_use_failed")),
    ],
)
def test_a_call_that_the_provider_cannot_parse_is_a_bad_response(status: int | None, body: Any) -> None:
    described = make_model_error(read_error_body(body, status=status), HERE)
    assert isinstance(described, BadResponse)
    assert described.retryable
    assert "could not parse the model's tool call" in str(described)
