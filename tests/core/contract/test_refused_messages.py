"""Error texts of servers that accept messages only in another form; and similar texts with another meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vmpilot.contract import (
    ContextOverflow,
    IdForm,
    InvalidRequest,
    MessagesRefused,
    ModelError,
    ParameterRefused,
    RefusedMessages,
    ToolsUnsupported,
)
from vmpilot.providers import ModelName, ModelTarget, make_model_error, read_error_body

HERE = ModelTarget(ModelName("openai", "m"), "http://host/v1")
NINE = IdForm(9, exact=True, alphabet="letters")
TOO_LONG = (
    "Invalid 'messages[2].tool_calls[0].id': string too long. Expected a string with maximum length {}, but got a "
    "string with length 65 instead."
)
MISTRAL = "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9."
ANTHROPIC = "messages.5.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
GEMINI = "Function call is missing a thought_signature in functionCall parts."
DEEPSEEK = "The `reasoning_content` in the thinking mode must be passed back to the API."


def error(message: str, **members: Any) -> dict[str, Any]:
    return {"error": {"message": message, **members}}


def routed(body: object) -> dict[str, Any]:
    return error("Provider returned error", code=400, metadata={"raw": json.dumps(body), "provider_name": "x"})


IDS = [
    (NINE, 400, {"object": "error", "message": MISTRAL, "type": "invalid_function_call", "code": "3280"}),
    (NINE, 500, error(MISTRAL)),
    (NINE, 400, routed({"object": "error", "message": MISTRAL})),
    (IdForm(40), 400, error(TOO_LONG.format(40), code="string_above_max_length")),
    (IdForm(64), 400, error(TOO_LONG.format(64), param="messages[2].tool_calls[0].id")),
    (IdForm(64), 400, error("Invalid 'input[3].call_id': string too long. Expected a string with maximum length 64")),
    (IdForm(64), 400, error(ANTHROPIC)),
    (
        IdForm(64),
        400,
        error("messages.1.content.1.tool_result.tool_use_id: String should match pattern '^[a-zA-Z0-9_-]+$'"),
    ),
    (IdForm(64), 400, routed({"type": "error", "error": {"message": ANTHROPIC}})),
    (
        IdForm(64),
        400,
        {
            "message": "Value 'functions.a:0' at 'messages.2.member.content.1.member.toolUse.toolUseId' failed to "
            "satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+"
        },
    ),
    (
        IdForm(64),
        400,
        {
            "message": "Value at 'messages.2.member.content.1.member.toolUse.toolUseId' failed to satisfy constraint: "
            "Member must have length less than or equal to 64"
        },
    ),
]

PROBLEMS = [
    ("signature_missing", 400, [error(f"{GEMINI} This is required for tools to work correctly.", code=400)]),
    (
        "signature_missing",
        400,
        error(
            "Unable to submit request because function call `a` in the 2. content block is missing a "
            "`thought_signature`."
        ),
    ),
    ("reasoning_missing", 400, error(DEEPSEEK, code="invalid_request_error")),
    (
        "reasoning_missing",
        400,
        error("thinking is enabled but reasoning_content is missing in assistant tool call message"),
    ),
    ("reasoning_missing", 400, routed(error("reasoning_content is missing in assistant tool call message at index 3"))),
    (
        "reasoning_missing",
        400,
        error("preserved thinking (thinking.keep=all) requires reasoning_content on every assistant message"),
    ),
    ("reasoning_missing", 400, error("Missing `reasoning_content` field in the assistant message at message index 2.")),
    (
        "opaque_data",
        400,
        error("Unknown parameter: 'messages[2].tool_calls[0].extra_content'.", code="unknown_parameter"),
    ),
    (
        "opaque_data",
        400,
        error(
            "'messages.2' : for 'role:assistant' the following must be satisfied[('messages.2' : property "
            "'reasoning_content' is unsupported)]"
        ),
    ),
    (
        "opaque_data",
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "messages", 2, "assistant", "tool_calls", 0, "extra_content"],
                    "msg": "Extra inputs are not permitted",
                }
            ]
        },
    ),
    ("opaque_data", 400, error("messages.2.reasoning_details: Extra inputs are not permitted")),
    ("opaque_data", 400, error("Unable to submit request because Thought signature is not valid")),
    ("opaque_data", 400, error("Corrupted thought signature.")),
    ("opaque_data", 400, error("messages.1.content.0: Invalid `signature` in `thinking` block")),
    (
        "system_role",
        400,
        {"object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400},
    ),
    ("system_role", 500, error("Jinja Exception: System role not supported", type="server_error")),
    ("system_role", 400, error("Developer instruction is not enabled for models/gemma-3-27b-it")),
    ("system_role", 400, error("Unsupported value: 'messages[0].role' does not support 'system' with this model.")),
    ("system_role", 400, {"message": "This model doesn't support system messages. Try again without system messages."}),
    ("system_role", 400, error("system messages are not supported by this model")),
    ("system_role", 400, error("The model does not support system prompts")),
    ("system_role", 400, error('messages: Unexpected role "system". The Messages API accepts a top-level `system`')),
    ("system_role", 422, error("'system' is not one of ['user', 'assistant'] - 'messages.0.role'")),
    ("system_role", 400, error("Only user, assistant and tool roles are supported, got system.")),
    ("roles", 400, error("Only user and assistant roles are supported!")),
    ("roles", 400, error("Conversation roles must alternate user/assistant/user/assistant/...")),
    ("roles", 500, error("After the optional system message, conversation roles must alternate user/assistant")),
]


@pytest.mark.parametrize(("form", "status", "body"), IDS)
def test_the_id_format_that_a_server_requires(form: IdForm, status: int, body: Any) -> None:
    described = make_model_error(read_error_body(body, status=status), HERE)
    assert isinstance(described, MessagesRefused)
    assert described.refused == RefusedMessages("call_ids", form)
    assert described.another_may_answer


@pytest.mark.parametrize(("problem", "status", "body"), PROBLEMS)
def test_rejected_messages_are_recognized(problem: str, status: int, body: Any) -> None:
    described = make_model_error(read_error_body(body, status=status), HERE)
    assert isinstance(described, MessagesRefused)
    assert described.refused.problem == problem


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        (InvalidRequest, 400, error("Invalid 'messages[0].content': string too long. Expected maximum length 1048576")),
        (InvalidRequest, 400, error("tool_call_id 'call_1' not found in the preceding message")),
        (InvalidRequest, 400, error("The system is not available at the moment")),
        (InvalidRequest, 400, error("This model is not supported on this system")),
        (InvalidRequest, 400, error("Request signature is invalid")),
        (InvalidRequest, 400, error("Unknown parameter: 'messages[0].mood'.")),
        (InvalidRequest, 400, error("messages.1.content: reasoning is too short")),
        (ContextOverflow, 400, error("maximum context length is 8192 tokens; system prompt is not supported")),
        (ToolsUnsupported, 400, error("Function calling is not enabled for models/gemma-3-27b-it")),
        (ParameterRefused, 400, error("Unknown parameter: 'seed'.", code="unknown_parameter")),
    ],
)
def test_similar_errors_are_not_confused(kind: type[ModelError], status: int, body: Any) -> None:
    assert type(make_model_error(read_error_body(body, status=status), HERE)) is kind


def test_anthropic_cannot_resume_thinking_after_a_turn_without_it() -> None:
    said = "messages.3.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`."
    described = make_model_error(read_error_body(error(said), status=400), HERE)
    assert isinstance(described, ParameterRefused)
    assert described.parameter == "reasoning_effort"
