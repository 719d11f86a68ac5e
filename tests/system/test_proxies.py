"""The route to the model: proxies and base URLs as users set them, through both backends, streaming and not."""

from __future__ import annotations

import socket

import pytest
from tests.proxy_server import PASSWORD, Kind, running_proxy

from vmpilot.contract import ModelSettings, Proxies
from vmpilot.testing import HttpError, Reply, ScriptedServer

from .conftest import Machine

ENGINE = """
from types import SimpleNamespace

class CommonParams(SimpleNamespace):
    def __init__(self):
        super().__init__(model=SimpleNamespace(), cpuparams=SimpleNamespace())

class Server:
    listening_address = "{address}"

    def __init__(self, params):
        pass
"""

STREAMING = pytest.mark.parametrize("streaming", [True, False])
KINDS = pytest.mark.parametrize("kind", ["http", "socks5"])


@STREAMING
@KINDS
async def test_a_proxy_is_used(machine: Machine, kind: Kind, streaming: bool) -> None:
    with running_proxy(kind) as proxy, ScriptedServer([Reply("done")]) as server:
        machine.variables = {"ALL_PROXY": proxy.url, "NO_PROXY": "[::1], 10.0.0.0/8 fd00::/8"}
        seen = await machine.ask(server, streaming=streaming)
    assert (seen.text, seen.end.exit_code) == ("done", 0)
    assert proxy.targets == [server.base_url.removeprefix("http://").removesuffix("/v1")]


@pytest.mark.parametrize(
    "no_proxy",
    ["127.0.0.1", "localhost,[::1],127.0.0.1", "127.0.0.0/8,::1/128,fd07:b51a:cc66:f0::/64", "a b 127.0.0.1 ", "*"],
)
async def test_a_server_in_no_proxy_is_reached_directly(machine: Machine, no_proxy: str) -> None:
    with running_proxy("socks5") as proxy, ScriptedServer([Reply("done")]) as server:
        machine.variables = {"ALL_PROXY": proxy.url, "HTTP_PROXY": "http://[", "NO_PROXY": no_proxy}
        assert (await machine.ask(server)).text == "done"
    assert not proxy.accepted.is_set()


@STREAMING
async def test_a_server_that_vmpilot_started_is_never_reached_through_a_proxy(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    with running_proxy() as proxy, ScriptedServer([Reply("done")]) as server:
        machine.variables = {"HTTP_PROXY": proxy.url, "all_proxy": proxy.url, **_local_engine(machine, server)}
        for name in ("HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        seen = await machine.ask(server, model=f"local:{machine.home}/tiny.gguf", streaming=streaming)
    assert (seen.text, seen.end.error) == ("done", None)
    assert not proxy.accepted.is_set()


async def test_a_local_fallback_is_not_reached_through_the_proxy_of_the_model_before_it(machine: Machine) -> None:
    with running_proxy() as proxy, ScriptedServer([HttpError(401)]) as far, ScriptedServer([Reply("done")]) as near:
        machine.variables = {"HTTP_PROXY": proxy.url, **_local_engine(machine, near)}
        assert (await machine.ask(far, fallback=(f"local:{machine.home}/tiny.gguf",))).text == "done"
    assert proxy.targets == [far.base_url.removeprefix("http://").removesuffix("/v1")]


def _local_engine(machine: Machine, server: ScriptedServer) -> dict[str, str]:
    """A fake llama.cpp, found through PYTHONPATH, that reports the scripted server as its own."""
    (machine.home / "tiny.gguf").write_bytes(b"GGUF")
    engine = machine.home / "engine"
    engine.mkdir()
    (engine / "xllamacpp.py").write_text(ENGINE.format(address=server.base_url.removesuffix("/v1")))
    return {"PYTHONPATH": str(engine)}


async def test_variables_of_the_process_do_not_bypass_the_settings(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the local model's server, which has no proxy in its settings."""
    with running_proxy() as proxy, ScriptedServer([Reply("done")]) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NO_PROXY", "[::1],nonsense/99")
        assert (await machine.ask(server)).text == "done"
    assert not proxy.accepted.is_set()
    assert ModelSettings().proxies == Proxies()


@STREAMING
async def test_a_proxy_that_cannot_be_used_ends_the_turn_with_its_variable(machine: Machine, streaming: bool) -> None:
    with ScriptedServer([]) as server:
        machine.variables = {"http_proxy": f"socks4://me:{PASSWORD}@127.0.0.1:1"}
        end = (await machine.ask(server, streaming=streaming)).end
    assert end.exit_code == 2
    assert end.error is not None
    assert end.error.startswith("http_proxy names a socks4:// proxy, which is not supported: ")
    assert PASSWORD not in end.error


@STREAMING
@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
async def test_an_error_of_the_proxy_names_the_proxy(machine: Machine, scheme: str, streaming: bool) -> None:
    with socket.socket() as closed, ScriptedServer([]) as server:
        closed.bind(("127.0.0.1", 0))
        proxy = f"127.0.0.1:{closed.getsockname()[1]}"
        machine.variables = {"HTTP_PROXY": f"{scheme}://me:{PASSWORD}@{proxy}"}
        end = (await machine.ask(server, streaming=streaming, attempts=1)).end
    assert end.exit_code == 1
    assert end.error is not None
    assert f"cannot be reached through the proxy (HTTP_PROXY ({scheme}://{proxy})" in end.error
    assert PASSWORD not in end.error


@STREAMING
@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m", "mistral/m", "xai/m"])
@pytest.mark.parametrize("slash", ["", "/", "//"])
async def test_the_query_of_a_base_url_is_appended_to_each_request(
    machine: Machine, model: str, slash: str, streaming: bool
) -> None:
    with ScriptedServer([Reply("done")], strict=False) as server:
        url = f"{server.base_url}{slash}?api-version=2024-02-01&x=a%20b"
        seen = await machine.ask(url, model=model, streaming=streaming)
    assert (seen.text, seen.end.error) == ("done", None)
    (request,) = server.requests
    assert (request.path, request.query) == ("/v1/chat/completions", "api-version=2024-02-01&x=a+b")


async def test_user_and_password_of_a_base_url_are_sent_as_basic_authentication(machine: Machine) -> None:
    with ScriptedServer([Reply("done")], strict=False) as server:
        assert (await machine.ask(server.base_url.replace("//", f"//me:{PASSWORD}@", 1))).text == "done"
        assert server.requests[0].headers["authorization"].startswith("Basic ")
