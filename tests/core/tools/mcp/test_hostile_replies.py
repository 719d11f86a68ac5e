"""Whatever a server replies to a call: the call ends at once, and the server's other calls and tools stay usable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from vmpilot.contract import Tool, ToolError, ToolOutcome
from vmpilot.tools.mcp import McpServer, McpServers, McpSettings
from vmpilot.tools.mcp._wire import find_reply_id, read_messages

from .conftest import MakeServers, Raw, Script, call
from .hostile import replies

OK = '{"content": [{"type": "text", "text": "A"}]}'


async def answer(tools: tuple[Tool, ...], raw: bytes | str) -> ToolOutcome | str:
    """The outcome of a call with this reply."""
    text = raw if isinstance(raw, str) else raw.decode("latin-1")
    try:
        return await call(tools, "mcp__m__echo", raw=text)
    except ToolError as problem:
        return str(problem).removeprefix("MCP server m: ")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"caf\xe9"}]}}\n', "caf\ufffd"),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"a\\ud83d b"}]}}\n', "a\ufffd b"),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"\\ud83d\\ude00"}]}}\n', "\U0001f600"),
        (f'\xef\xbb\xbf{{"jsonrpc":"2.0","id":$ID,"result":{OK}}}\r\n', "A"),
        (f'{{"jsonrpc":"2.0","id":"$ID","result":{OK}}}\n', "A"),
        (f'{{"jsonrpc":"2.0","id":$ID.0,"result":{OK}}}\n', "A"),
        (f'{{"id":$ID,"result":{OK},"error":null}}\n', "A"),
        (f'[{{"jsonrpc":"2.0","method":"x"}},{{"jsonrpc":"2.0","id":$ID,"result":{OK}}}]\n', "A"),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"structuredContent":{"n":NaN}}}\n', '{"n": "NaN"}'),
        ('{"jsonrpc":"2.0","id":$ID,"result":{}}\n', "[the tool returned nothing]"),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":null}}\n', "[the tool returned nothing]"),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":"plain"}}\n', "plain"),
        (
            '{"jsonrpc":"2.0","id":$ID,"result":{"toolResult":{"n":1}}}\n',
            '[a result without content]\n{"toolResult": {"n": 1}}',
        ),
    ],
)
async def test_a_sloppy_reply_still_answers(make_servers: MakeServers, script: Script, raw: str, text: str) -> None:
    tools = await make_servers(m=script()).tools()
    assert await answer(tools, raw) == ToolOutcome(text)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ('{"jsonrpc":"2.0","id":$ID,"result":null}\n', "its result is null instead of an object"),
        ('{"jsonrpc":"2.0","id":$ID,"result":[1]}\n', "its result is a list instead of an object"),
        ('{"jsonrpc":"2.0","id":$ID}\n', "its response has neither a result nor an error"),
        ('{"jsonrpc":"2.0","id":$ID,"error":"no luck"}\n', "no luck"),
        ('{"jsonrpc":"2.0","id":$ID,"error":{"code":"x"}}\n', 'it failed with {"code": "x"}'),
        ('{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse error"}}\n', "parse error"),
        (f'{{"jsonrpc":"2.0","id":$ID,"result":{OK},"error":{{"code":1,"message":"no"}}}}\n', "no"),
        ('{"jsonrpc":"2.0","id":$ID,"result":{"content":[\n', "its response is not valid JSON on one line"),
        ('{\n "jsonrpc": "2.0",\n "id": $ID,\n "result": {}\n}\n', "its response is not valid JSON on one line"),
        ('{\n "result": {\n },\n "id": $ID\n}\n', "its response is not valid JSON on one line"),
        ('{"jsonrpc":"2.0","id":$ID,"result":' + "[" * 100_000 + "\n", "its response is not valid JSON on one line"),
    ],
)
async def test_a_reply_without_a_usable_result_fails_the_call(
    make_servers: MakeServers, script: Script, raw: str, said: str
) -> None:
    tools = await make_servers(m=script()).tools()
    assert await answer(tools, raw) == said


async def test_an_error_with_the_sdks_code_for_closed_connections_closes_nothing(
    make_servers: MakeServers, script: Script, notices: list[str]
) -> None:
    tools = await make_servers(m=script()).tools()
    for _ in range(3):
        assert await answer(tools, '{"jsonrpc":"2.0","id":$ID,"error":{"code":-32000,"message":"busy"}}\n') == "busy"
    assert notices == ["starting the MCP server m"]


async def test_a_reply_that_is_too_long_fails_its_own_call_only(
    make_servers: MakeServers, raw: Callable[[str], Raw], notices: list[str]
) -> None:
    tools = await make_servers(m=raw("huge-reply").settings()).tools()
    for _ in range(2):
        assert await answer(tools, "") == "its response exceeds 8 MB"
    assert notices == ["starting the MCP server m"]


async def test_replies_without_a_request_are_dropped_and_reported(make_servers: MakeServers, script: Script) -> None:
    settings_ = script()
    tools = await make_servers(m=settings_).tools()
    twice = f'{{"jsonrpc":"2.0","id":$ID,"result":{OK}}}\n' * 2
    assert await answer(tools, twice) == ToolOutcome("A")
    assert await answer(tools, f'{{"jsonrpc":"2.0","id":999,"result":{{}}}}\n{twice}') == ToolOutcome("A")
    quick = McpServer(command=settings_.command, args=settings_.args, timeout=0.3)
    tools = await make_servers(m=quick).tools()
    said = await answer(tools, '{"jsonrpc":"2.0","id":999,"result":{}}\n')
    assert said == "no response within 0.3 s; it replied to an unknown request (id 999)"


async def test_a_log_on_standard_output_is_not_a_reply(make_servers: MakeServers, script: Script) -> None:
    tools = await make_servers(m=script()).tools()
    log = '{"level":"error","error":"disk full","id":$ID}\nplain\n{"id":$ID\n'
    assert await answer(tools, f'{log}{{"jsonrpc":"2.0","id":$ID,"result":{OK}}}\n') == ToolOutcome("A")


async def _examine(script: McpServer, folder: Path, raws: list[bytes]) -> None:
    servers = McpServers(McpSettings({"m": script}), folder=folder, environment={"PATH": "/usr/bin:/bin"})
    try:
        tools = await servers.tools()
        for raw in raws:
            outcome, other = await asyncio.gather(answer(tools, raw), call(tools, "mcp__m__echo", n=1))
            assert not str(outcome).startswith(("no response", "the connection was lost")), raw
            assert other == ToolOutcome('{"n": 1}')
    finally:
        await servers.close()


@settings(
    max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(raws=st.lists(replies(), min_size=40, max_size=40))
def test_any_reply_ends_its_call_and_no_other(script: Script, tmp_path: Path, raws: list[bytes]) -> None:
    asyncio.run(_examine(script(), tmp_path / "kept", raws))


@settings(deadline=None)
@given(data=st.one_of(st.binary(max_size=80), replies()))
@example(data=b"\xff\xfe{\x00")
@example(data=b"[" * 100_000)
def test_any_bytes_are_parsed_or_dropped(data: bytes) -> None:
    try:
        messages = read_messages(data)
    except ValueError:
        find_reply_id(data)
        return
    for message in messages:
        json.dumps(message).encode("ascii")
        assert isinstance(message.get("method", ""), str)
        assert not _surrogates(message)


def _surrogates(value: Any) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in json.dumps(value, ensure_ascii=False))
