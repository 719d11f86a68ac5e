"""The kit for backends: tools to talk to a model provider, independent of the library that sends the requests.

Model names and targets, OpenAI's message format, a reader of streamed answers, and the single mapping from library
exceptions to the contract's errors. It imports the contract but no model library.
"""

from vmpilot.providers._http_clients import MAX_ERROR_BYTES, RoutedTransport, open_client
from vmpilot.providers.completion_reader import CompletionReader
from vmpilot.providers.completion_stream import read_completion
from vmpilot.providers.error_mapping import translate_error, translated_errors
from vmpilot.providers.gc_pause import paused_gc
from vmpilot.providers.message_builder import MessageBuilder
from vmpilot.providers.model_names import ModelName, parse_model_name
from vmpilot.providers.openai_format import (
    chat_message,
    chat_messages,
    chat_options,
    chat_tool,
    read_chat_messages,
    read_tool_call,
)
from vmpilot.providers.provider_errors import ErrorResponse, make_model_error, read_error_body, read_retry_after
from vmpilot.providers.provider_table import Provider, find_provider
from vmpilot.providers.target import NO_KEY, ModelTarget, choose_key, find_target, read_base_url

__all__ = [
    "MAX_ERROR_BYTES",
    "NO_KEY",
    "CompletionReader",
    "MessageBuilder",
    "ModelName",
    "ModelTarget",
    "Provider",
    "ErrorResponse",
    "RoutedTransport",
    "chat_message",
    "chat_messages",
    "chat_options",
    "chat_tool",
    "choose_key",
    "make_model_error",
    "find_provider",
    "find_target",
    "open_client",
    "parse_model_name",
    "paused_gc",
    "read_base_url",
    "read_chat_messages",
    "read_completion",
    "read_error_body",
    "read_retry_after",
    "read_tool_call",
    "translate_error",
    "translated_errors",
]
