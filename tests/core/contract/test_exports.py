"""The public contract: names, hook signatures and versions. A change here is a change of the contract."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType

import pytest

from vmpilot import contract, providers
from vmpilot.contract import hooks, tool_hooks

NAMES = set(
    """
CONTRACT_VERSION ENTRY_POINT_GROUP PROJECT WIRE_VERSION ApprovalRequested AssistantMessage AuthenticationFailed
BackendError BackendEvent BackendInfo BadResponse ContentFiltered ContextOverflow EndReason Event Finish
GenerationRequest HistoryCompacted HistoryImported ImagePart InvalidRequest LimitName LimitReached Message
MessageCompleted ModelCall ModelCalls ModelError ModelInfo ModelNotFound ModelSettings ModelTimeout Notice
ProviderUnavailable QuotaExhausted RateLimited ReasoningDelta ReasoningEffort RetryPolicy Retrying Secret StoreError
StreamInterrupted StreamOnce TextDelta TextPart TimeLimits ToolCall ToolCallDelta ToolFinished ToolOutput ToolResult
ToolSpec ToolStarted Toolbox TurnEnded TurnStarted TurnStopped DeniedCall TurnTerms Usage UsageError UserMessage
VMPilotError decode_event encode_event hookimpl hookspec MessagesRefused ParameterRefused ToolsUnsupported IdForm
MessageProblem RefusedMessages Proxies Proxy read_proxies Acts ChangesFiles Confinement Effect Fetches LooksUp
ReadsFiles RunsCommand Tool ToolOutcome ToolError ToolUse SimpleTool TOOL_ENTRY_POINT_GROUP ToolContext
find_spec_fault
""".split()  # noqa: SIM905  a block of words reads better
)

KIT = set(
    """
MAX_ERROR_BYTES NO_KEY Provider find_provider
CompletionReader MessageBuilder ModelName ModelTarget ErrorResponse RoutedTransport chat_message
chat_messages chat_options chat_tool choose_key make_model_error find_target open_client parse_model_name
paused_gc read_base_url read_chat_messages read_completion read_error_body read_retry_after read_tool_call
translate_error translated_errors
""".split()  # noqa: SIM905
)


@pytest.mark.parametrize(("module", "names"), [(contract, NAMES), (providers, KIT)])
def test_exported_names(module: ModuleType, names: set[str]) -> None:
    assert set(module.__all__) == names
    assert len(module.__all__) == len(names)
    assert all(hasattr(module, name) for name in names)


def test_versions_and_entry_point_names() -> None:
    assert (contract.CONTRACT_VERSION, contract.WIRE_VERSION) == (1, 1)
    assert (contract.PROJECT, contract.ENTRY_POINT_GROUP) == ("vmpilot", "vmpilot.backends")
    assert contract.TOOL_ENTRY_POINT_GROUP == "vmpilot.tools"


def test_hooks() -> None:
    marked = {name: value for name, value in vars(hooks).items() if hasattr(value, "vmpilot_spec")}
    signatures = {name: list(inspect.signature(hook).parameters) for name, hook in marked.items()}
    assert signatures == {
        "generate_responses": ["request", "toolbox", "model_calls"],
        "describe_backend": [],
        "describe_model": ["model"],
    }
    assert all(hook.vmpilot_spec["firstresult"] and hook.__doc__ for hook in marked.values())


def test_the_tools_hook() -> None:
    assert list(inspect.signature(tool_hooks.provide_tools).parameters) == ["context"]
    assert "vmpilot_spec" in vars(tool_hooks.provide_tools)
    assert contract.ToolContext.__match_args__ == ("folder",)
    assert contract.SimpleTool.__match_args__ == ("spec", "work")


@pytest.mark.parametrize(
    ("owner", "members"),
    [
        (contract.Toolbox, {"call": ["self", "tool_call"], "call_all": ["self", "tool_calls"]}),
        (contract.ModelCalls, {"ask": ["self", "stream_once", "messages"]}),
        (
            providers.MessageBuilder,
            {
                "add_text": ["self", "piece"],
                "add_reasoning": ["self", "piece"],
                "add_refusal": ["self", "piece"],
                "add_tool_call": ["self", "index", "id", "name", "arguments"],
                "add_function_call": ["self", "name", "arguments"],
                "build": ["self", "finish_reason", "provider", "provider_data"],
            },
        ),
    ],
)
def test_arguments_of_a_backend(owner: type, members: dict[str, list[str]]) -> None:
    public = {name: value for name, value in vars(owner).items() if not name.startswith("_") and callable(value)}
    assert {name: list(inspect.signature(value).parameters) for name, value in public.items()} == members


def test_the_contract_has_few_imports() -> None:
    """Importing it loads nothing of the core's other packages, and no library but msgspec and pluggy."""
    program = "import sys; import vmpilot.contract; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    ours = {name.split(".")[1] for name in loaded if name.startswith("vmpilot.")}
    assert ours == {"contract"}
    assert not {"sqlalchemy", "jsonschema_rs", "platformdirs", "httpx", "asyncio", "argparse"} & set(loaded)
