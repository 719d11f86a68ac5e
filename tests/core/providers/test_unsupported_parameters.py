"""Error texts of servers that do not accept a member or tools; and similar texts with another meaning."""

from __future__ import annotations

from typing import Any

import pytest

from vmpilot.contract import (
    ContextOverflow,
    InvalidRequest,
    ModelError,
    ModelNotFound,
    ParameterRefused,
    ProviderUnavailable,
    RateLimited,
    ToolsUnsupported,
)
from vmpilot.providers import ModelName, ModelTarget, make_model_error, read_error_body

HERE = ModelTarget(ModelName("openai", "m"), "http://host/v1")

JSONABLE = "Failed to deserialize the JSON body into the target type: "
NO_TOOLS = [
    (400, {"error": "registry.ollama.ai/library/gemma3:4b does not support tools"}),
    (400, {"error": {"message": "llama3 does not support tools", "type": "api_error", "param": None, "code": None}}),
    (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
    (500, {"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}),
    (500, {"code": 500, "message": "Unsupported param: tools", "type": "server_error"}),
    (404, {"error": {"message": "No endpoints found that support tool use. To learn more, visit", "code": 404}}),
    (400, {"error": {"message": "tools is not supported in this model. For a list of", "param": "tools"}}),
    (400, {"code": "Client specified an invalid argument", "error": "The model does not support tool use or function"}),
    (405, {"error": {"message": "deepinfra error: Tool calling is not supported for model: m"}}),
    (400, {"error": {"message": "Function calling is not enabled for models/gemma-3", "status": "INVALID_ARGUMENT"}}),
    (400, {"message": "This model doesn't support tool use."}),
    (400, {"error": {"message": "deepseek-reasoner does not support Function Calling"}}),
    (400, {"error": {"message": "`tool calling` is not supported with this model"}}),
    (400, {"error": {"message": "Unrecognized request argument supplied: tools"}}),
    (None, {"error": {"message": "m does not support tools", "type": "api_error"}}),
]

REFUSED = [
    ("stream_options", 400, {"error": {"message": "Unknown parameter: 'stream_options'. (request id: 2024)"}}),
    ("stream_options", 500, {"error": {"message": "Unsupported param: stream_options", "type": "server_error"}}),
    ("stream_options", 400, {"error": {"message": "Unrecognized key(s) in object: 'stream_options'"}}),
    ("stream_options", 400, {"error": {"message": "property 'stream_options' is unsupported"}}),
    ("stream_options", 400, {"error": {"message": "stream_options: Extra inputs are not permitted"}}),
    ("stream_options", 400, {"error": {"message": "stream_options\n  Extra inputs are not permitted [type=extra]"}}),
    ("stream_options", 400, {"message": "Additional properties are not allowed ('stream_options' was unexpected)"}),
    ("stream_options", 422, JSONABLE + "unknown field `stream_options`, expected one of `model`, `seed`"),
    (
        "stream_options",
        422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not"}]},
    ),
    (
        "stream_options",
        400,
        {"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg'"},
    ),
    ("stream_options", 400, {"error": {"message": "Nicht bekannt.", "param": "stream_options.include_usage"}}),
    (
        "parallel_tool_calls",
        400,
        {
            "error": {
                "message": "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.",
                "param": "parallel_tool_calls",
                "code": "unsupported_parameter",
            }
        },
    ),
    ("parallel_tool_calls", 400, {"error": {"message": 'json: unknown field "parallel_tool_calls"'}}),
    ("parallel_tool_calls", 400, {"error": {"message": "'parallel_tool_calls' is only allowed when 'tools' are"}}),
    ("reasoning_effort", 400, {"error": {"message": "Unrecognized request argument supplied: reasoning_effort"}}),
    ("reasoning_effort", 400, {"error": {"message": "`reasoning_effort` is not supported with this model"}}),
    ("reasoning_effort", 400, {"error": "Argument not supported on this model: reasoningEffort"}),
    ("reasoning_effort", 400, {"error": "Model grok-4 does not support parameter reasoningEffort."}),
    ("seed", 500, "Internal Server Error: create() got an unexpected keyword argument 'seed'"),
    ("seed", 422, {"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted"}]}),
    ("seed", 400, {"error": {"message": "groq does not support parameters: ['seed'], for model=m."}}),
    ("seed", 400, {"error": {"message": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'}}),
    ("seed", 400, {"error": {"message": "Rechazado.", "param": "seed", "code": "unsupported_parameter"}}),
    ("temperature", 400, {"error": {"message": "`temperature` is deprecated for this model."}}),
    (
        "temperature",
        400,
        {
            "error": {
                "message": "'temperature' does not support 0 with this model. Only the default (1) value is supported."
            }
        },
    ),
    (
        "max_tokens",
        400,
        {
            "error": {
                "message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead."
            }
        },
    ),
    ("max_completion_tokens", 400, {"error": {"message": "Unknown parameter: 'max_completion_tokens'."}}),
    (
        "stream",
        400,
        {"error": {"message": "Your organization must be verified to stream this model.", "param": "stream"}},
    ),
    ("stream", 400, {"error": {"message": "'stream' does not support true with this model."}}),
    ("stream", 400, {"message": "This model doesn't support tool use in streaming mode."}),
]

OTHERS: list[tuple[type[ModelError], int, Any]] = [
    (
        InvalidRequest,
        400,
        {
            "error": {
                "message": "Unsupported value: 'reasoning_effort' does not support 'none' with this model.",
                "param": "reasoning_effort",
                "code": "unsupported_value",
            }
        },
    ),
    (InvalidRequest, 400, "{'loc': ('body', 'reasoning_effort'), 'msg': \"Input should be 'low' or 'high'\"}"),
    (InvalidRequest, 400, {"error": {"message": "Invalid 'temperature': decimal above maximum value. Expected <= 2"}}),
    (InvalidRequest, 400, {"error": {"message": "temperature must be in range [0, 2]", "param": "temperature"}}),
    (InvalidRequest, 400, {"error": {"message": "max_tokens is too large: 99999. This model supports at most 4096"}}),
    (
        InvalidRequest,
        422,
        {"detail": [{"type": "missing", "loc": ["body", "model"], "input": {"stream_options": {}, "seed": 1}}]},
    ),
    (
        InvalidRequest,
        400,
        {"error": {"message": "Unsupported parameter: 'foo'. Supported parameters are: seed, stream"}},
    ),
    (InvalidRequest, 400, {"error": {"message": "Invalid schema for function 'shell'", "param": "tools[0].function"}}),
    (
        InvalidRequest,
        422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "tools", 0, "function", "strict"], "msg": "Extra"}]},
    ),
    (InvalidRequest, 400, {"error": {"message": "Unknown name \"additionalProperties\" at 'tools[0].parameters'"}}),
    (InvalidRequest, 400, {"error": {"message": "This model does not support parallel tool calls"}}),
    (InvalidRequest, 400, {"error": {"message": "Parallel tool calls are not supported"}}),
    (InvalidRequest, 400, {"error": {"message": "m does not support tool_choice required"}}),
    (InvalidRequest, 400, {"error": {"message": "An assistant message with 'tool_calls' must be followed by tool"}}),
    (InvalidRequest, 400, {"error": {"message": "image input is not supported by this model"}}),
    (ModelNotFound, 404, {"error": {"message": "The model `seed` does not exist", "code": "model_not_found"}}),
    (ContextOverflow, 400, {"error": {"message": "maximum context length is 4096 tokens (1000 in max_tokens)"}}),
    (RateLimited, 429, {"error": {"message": "Slow down; seed is not supported"}}),
    (ProviderUnavailable, 503, {"error": {"message": "The tools service is not available"}}),
]


def _describe(status: int | None, body: Any) -> ModelError:
    return make_model_error(read_error_body(body, status=status), HERE)


@pytest.mark.parametrize(("status", "body"), NO_TOOLS)
def test_rejected_tools_are_recognized(status: int | None, body: Any) -> None:
    error = _describe(status, body)
    assert type(error) is ToolsUnsupported
    assert str(error).startswith("openai/m at http://host/v1 does not support tools (")


@pytest.mark.parametrize(("member", "status", "body"), REFUSED)
def test_a_rejected_member_is_recognized(member: str, status: int, body: Any) -> None:
    error = _describe(status, body)
    assert isinstance(error, ParameterRefused)
    assert error.parameter == member
    assert f" does not support the parameter {member} (status {status}" in str(error)


@pytest.mark.parametrize(("kind", "status", "body"), OTHERS)
def test_other_errors_are_not_confused(kind: type[ModelError], status: int, body: Any) -> None:
    assert type(_describe(status, body)) is kind


@pytest.mark.parametrize(
    "piece", ["unknown ", "unknown(", "unknown param ", "does not support ", "stream", "tools is "]
)
def test_a_long_text_is_parsed_quickly(piece: str) -> None:
    assert type(_describe(400, piece * 20_000)) is InvalidRequest
