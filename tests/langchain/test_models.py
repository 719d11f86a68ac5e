from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from vmpilot.contract import (
    AuthenticationFailed,
    BackendEvent,
    GenerationRequest,
    InvalidRequest,
    ModelCall,
    ModelNotFound,
    ModelSettings,
    Secret,
)
from vmpilot.providers import find_target
from vmpilot.testing import Reply, ScriptedServer
from vmpilot_backend_langchain.models import ChatModels
from vmpilot_backend_langchain.stream import ModelStream

RequestMaker = Callable[..., GenerationRequest]
TurnRunner = Callable[..., Awaitable[list[BackendEvent]]]


def make_call(model: str, **settings: object) -> ModelCall:
    return ModelCall((), "", model, ModelSettings(**settings), ())  # type: ignore[arg-type]


async def test_model_is_created_once_and_closed_with_the_turn() -> None:
    models = ChatModels()
    call = make_call("m", base_url="http://127.0.0.1:1/v1")
    first = models.open_model(call, find_target(call))
    assert models.open_model(call, find_target(call)) is first
    other = make_call("m", base_url="http://127.0.0.1:1/v1", seed=1)
    assert models.open_model(other, find_target(other)) is not first
    client = first.root_async_client  # type: ignore[attr-defined]
    assert not client.is_closed()
    await models.close()
    assert client.is_closed()


def test_repr_hides_the_key() -> None:
    call = make_call("m", base_url="http://127.0.0.1:1/v1", api_key=Secret("sk-hidden"))
    assert "hidden" not in repr(ChatModels().open_model(call, find_target(call)))


async def test_chat_model_works_by_itself() -> None:
    models = ChatModels()
    with ScriptedServer([Reply("Yes.")]) as server:
        call = make_call("m", base_url=server.base_url)
        answer = await models.open_model(call, find_target(call)).ainvoke("Is it?")
        await models.close()
    assert answer.content == "Yes."


def test_retries_and_limits_are_left_to_the_core() -> None:
    call = make_call("m", base_url="http://127.0.0.1:1/v1")
    client = ChatModels().open_model(call, find_target(call)).root_async_client  # type: ignore[attr-defined]
    assert client.max_retries == 0
    assert client.timeout.as_dict() == {"connect": 10.0, "read": None, "write": None, "pool": None}


@pytest.mark.parametrize("model", ["mistral/mistral-large-latest", "cohere/command-a"])
async def test_a_missing_integration_names_its_package(
    model: str, make_request: RequestMaker, run_turn: TurnRunner
) -> None:
    package = {"mistral": "langchain-mistralai", "cohere": "langchain-cohere"}[model.partition("/")[0]]
    with pytest.raises(ModelNotFound, match=f"pip install {package}"):
        await run_turn(make_request(model=model, settings=ModelSettings(api_key=Secret("k"))))


async def test_an_openai_like_provider_at_a_base_url_needs_no_integration(
    make_request: RequestMaker, run_turn: TurnRunner
) -> None:
    with ScriptedServer([Reply("Yes.")]) as server:
        await run_turn(make_request(server, model="groq/llama-3"))
    assert server.requests[0].body["model"] == "llama-3"


async def test_azure_puts_the_deployment_into_the_path(
    make_request: RequestMaker, run_turn: TurnRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_VERSION", "2025-01-01")
    with ScriptedServer([]) as server:
        settings = ModelSettings(base_url=server.base_url.removesuffix("/v1"), api_key=Secret("key"))
        with pytest.raises(ModelNotFound):  # the scripted server does not have this path
            await run_turn(make_request(model="azure/mine", settings=settings))
    (request,) = server.requests
    assert request.path == "/openai/deployments/mine/chat/completions"
    assert request.headers["api-key"] == "key"


@pytest.mark.parametrize(
    ("model", "key", "error", "words"),
    [
        ("no-such-family", None, ModelNotFound, "provider/no-such-family"),
        ("unheard_of/model", None, ModelNotFound, 'no integration for the provider "unheard_of"'),
        (
            "gpt-4o",
            None,
            AuthenticationFailed,
            "There is no key for openai/gpt-4o: set OPENAI_API_KEY or VMPILOT_API_KEY",
        ),
        ("gpt-4o", Secret("sk-1\nsk-2"), AuthenticationFailed, "a line break"),
        ("hosted_vllm/m", None, InvalidRequest, "VMPILOT_BASE_URL"),
    ],
)
async def test_what_cannot_be_used(
    model: str, key: Secret | None, error: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    call = make_call(model, api_key=key)
    with pytest.raises(error, match=words):
        await anext(ModelStream().stream_once(call))
