"""The keyword arguments of `litellm.acompletion` for one call; sends nothing."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import httpx

from vmpilot.contract import ModelCall, TimeLimits
from vmpilot.providers import ModelName, chat_messages, chat_options, chat_tool, choose_key, find_provider
from vmpilot_backend_litellm.providers import find_route

_PLACEHOLDER = ({"role": "user", "content": "The conversation is in extra_body."},)


def make_arguments(call: ModelCall, model: ModelName, *, litellm: ModuleType) -> dict[str, Any]:
    """The keyword arguments, apart from `client`."""
    settings = call.settings
    return {
        "model": _spell_model(model),
        **place_conversation(call, model, litellm=litellm),
        **chat_options(settings),
        "api_base": settings.base_url,
        "api_key": choose_key(settings),
        "timeout": make_timeout(settings.time_limits),
        "num_retries": 0,
        "max_retries": 0,
        "drop_params": True,
        # LiteLLM drops parameters that it believes the model does not support. It does not know the models of the
        # user's own server, and an agent needs its tools: let the provider reject them.
        "allowed_openai_params": ["tools", "reasoning_effort"] if find_route(model.provider).merges_body else ["tools"],
        "no-log": True,
    }


def answers_in_openai_format(call: ModelCall, model: ModelName, *, litellm: ModuleType) -> bool:
    """Whether an answer in one piece needs no translation by LiteLLM."""
    return find_provider(model.provider).speaks_openai and not _may_use_responses(call, model, litellm)


def place_conversation(call: ModelCall, model: ModelName, *, litellm: ModuleType) -> dict[str, Any]:
    """Messages and tools, in `extra_body` if LiteLLM merges it into the request unchanged.

    Passed as `messages`, they lose data: both routes drop `"content": null`, which some servers require next to calls,
    and `hosted_vllm` drops `thinking_blocks`. The `openai` route also takes 40 ms of CPU time for 200 messages instead
    of 6, because LiteLLM and the openai client copy each of them.
    """
    messages = chat_messages(call.messages, system=call.system, provider=model.provider)
    tools = {"tools": [chat_tool(tool) for tool in call.tools]} if call.tools else {}
    if find_route(model.provider).merges_body and not _may_use_responses(call, model, litellm):
        # LiteLLM omits a false `stream`, and some servers stream by default.
        whole = {"stream": False} if chat_options(call.settings).get("stream") is False else {}
        return {"messages": list(_PLACEHOLDER), "extra_body": {"messages": messages, **tools, **whole}}
    return {"messages": messages, **tools}


def make_timeout(limits: TimeLimits) -> httpx.Timeout:
    """The HTTP client's own limits: the given one for connecting, everything else above the core's."""
    return httpx.Timeout(limits.whole + 60.0, connect=limits.connect)


def _spell_model(model: ModelName) -> str:
    """LiteLLM's `ollama` is the completions API, which has no tools; `ollama_chat` is the chat API."""
    return f"ollama_chat/{model.name}" if model.provider == "ollama" else str(model)


def _may_use_responses(call: ModelCall, model: ModelName, litellm: ModuleType) -> bool:
    """Whether LiteLLM may send this call to OpenAI's Responses API, which it builds from `messages`."""
    if model.provider != "openai":
        return False
    known = litellm.model_cost.get(model.name)
    if model.name.startswith("responses/") or (known is not None and known.get("mode") == "responses"):
        return True
    is_reasoning = "gpt-" in model.name and not model.name.startswith(("gpt-3", "gpt-4"))
    return is_reasoning and (call.settings.base_url is None or call.settings.reasoning_effort is not None)
