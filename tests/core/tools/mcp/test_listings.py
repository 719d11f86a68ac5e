"""Servers whose handshake or list of tools breaks the rules: what is omitted, what stays, and what is reported."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vmpilot.contract import ToolOutcome
from vmpilot.tools.mcp import McpServer, McpServers, McpSettings
from vmpilot.tools.mcp._definitions import object_schema, read_definitions

from .conftest import ECHO, HANDSHAKE, MakeServers, Script, call
from .hostile import SCALARS, VALUES

ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return ECHO | {"name": name} | more


async def listed(servers: McpServers) -> tuple[list[str], list[str]]:
    """The names of the tools and the problems, both without the server's name."""
    names = [each.spec.name.removeprefix("mcp__m__") for each in await servers.tools()]
    return [name for name in names if name != "mcp_accept_changes"], [
        problem.partition("): ")[2] for problem in servers.problems
    ]


@pytest.mark.parametrize(
    ("schema", "repaired"),
    [
        ({}, ANY_OBJECT),
        (None, ANY_OBJECT),
        (True, ANY_OBJECT),
        ([], ANY_OBJECT),
        ({"type": "object"}, ANY_OBJECT),
        ({"type": ["object", "null"]}, ANY_OBJECT),
        ({"type": None, "properties": None, "required": None}, ANY_OBJECT),
        ({"properties": []}, ANY_OBJECT),
        ({"properties": {"a": True}}, ANY_OBJECT | {"properties": {"a": True}}),
        ({"anyOf": [{"type": "object"}]}, ANY_OBJECT),
        ({"properties": {"n": {"maximum": 10**30}}}, ANY_OBJECT | {"properties": {"n": {"maximum": 10**30}}}),
    ],
)
async def test_an_unambiguous_schema_is_corrected(
    make_servers: MakeServers, script: Script, schema: Any, repaired: dict[str, Any]
) -> None:
    servers = make_servers(m=script({"tools": [tool("odd", inputSchema=schema)]}))
    assert (await servers.tools())[0].spec.parameters == repaired
    assert servers.problems == ()


async def test_a_tool_without_a_schema(make_servers: MakeServers, script: Script) -> None:
    assert await listed(make_servers(m=script({"tools": [{"name": "bare"}]}))) == (["bare"], [])


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (tool("bad", inputSchema=False), "its tool bad is skipped: its parameters are false instead of a schema"),
        (
            tool("bad", inputSchema="{}"),
            'its tool bad is skipped: its parameters are the string "{}" instead of a schema',
        ),
        (
            tool("bad", inputSchema={"type": "string"}),
            'its tool bad is skipped: its parameters have the string "string" as type instead of object',
        ),
        (
            tool("bad", inputSchema={"type": ["string", "null"]}),
            "its tool bad is skipped: its parameters have a list as type instead of object",
        ),
        (
            tool("bad", inputSchema={"properties": {"n": {"exclusiveMinimum": True}}}),
            'its tool bad is skipped: its parameters are not a valid JSON Schema: true is not of type "number"',
        ),
        ({"inputSchema": {}}, "entry 2 of its tool list is skipped: it is not an object with a name"),
        (None, "entry 2 of its tool list is skipped: it is not an object with a name"),
        ({"name": 7}, "entry 2 of its tool list is skipped: it is not an object with a name"),
    ],
)
async def test_one_bad_tool_does_not_affect_others(
    make_servers: MakeServers, script: Script, entry: Any, problem: str
) -> None:
    servers = make_servers(m=script({"tools": [tool("first"), entry, tool("last", description=3, outputSchema=4)]}))
    assert await listed(servers) == (["first", "last"], [problem])
    assert await call(await servers.tools(), "mcp__m__last", a=1) == ToolOutcome('{"a": 1}')


ONE, TWO = tool("one"), tool("two")


@pytest.mark.parametrize(
    ("pages", "names", "problems"),
    [
        ([{"tools": [ONE], "nextCursor": "2"}, {"tools": [TWO]}], ["one", "two"], []),
        ([{"tools": [ONE], "nextCursor": ""}, {"tools": [TWO]}], ["one", "two"], []),
        ([{"tools": [ONE], "nextCursor": ""}, None], ["one"], []),
        ([{"tools": [ONE], "nextCursor": ""}, {"tools": [ONE], "nextCursor": ""}], ["one"], []),
        ([{"tools": [ONE], "nextCursor": None}], ["one"], []),
        (
            [{"tools": [ONE], "nextCursor": "2"}, {"tools": [TWO], "nextCursor": "2"}],
            ["one", "two"],
            ["its tool list is endless: a page leads back to an earlier one"],
        ),
        (
            [{"tools": [ONE], "nextCursor": 7}],
            ["one"],
            ["its tool list may be incomplete: its cursor is the number 7 instead of a string"],
        ),
        (
            [{"tools": [ONE], "nextCursor": "2"}, None],
            ["one"],
            ["page 2 of its tool list is missing: invalid cursor"],
        ),
        (
            [{"tools": [ONE], "nextCursor": "2"}, {"tools": None}],
            ["one"],
            ["page 2 of its tool list is null instead of a list"],
        ),
        (
            [{"tools": [tool(f"t{number}")], "nextCursor": str(number + 1)} for number in range(30)],
            [f"t{number}" for number in range(20)],
            ["its tool list is cut after 20 pages"],
        ),
    ],
)
async def test_pages(
    make_servers: MakeServers,
    script: Script,
    pages: list[dict[str, Any] | None],
    names: list[str],
    problems: list[str],
) -> None:
    assert await listed(make_servers(m=script(*pages))) == (names, problems)


@pytest.mark.parametrize(
    ("handshake", "problems"),
    [
        (HANDSHAKE, []),
        (HANDSHAKE | {"protocolVersion": "2024-11-05", "capabilities": None}, []),
        (
            HANDSHAKE | {"protocolVersion": "2099-01-01"},
            ["it answered with the unknown protocol version 2099-01-01; using 2025-11-25"],
        ),
        (
            {"protocolVersion": 7, "serverInfo": {"name": "x"}},
            ["it answered with the unknown protocol version (the number 7); using 2025-11-25"],
        ),
        (
            {"capabilities": []},
            [
                "it answered without a protocol version; using 2025-11-25",
                "it did not identify itself (serverInfo is missing or malformed)",
            ],
        ),
    ],
)
async def test_handshakes(
    make_servers: MakeServers, script: Script, handshake: dict[str, Any], problems: list[str]
) -> None:
    servers = make_servers(m=script(initialize=handshake))
    assert await listed(servers) == (["echo"], problems)
    assert await call(await servers.tools(), "mcp__m__echo", a=1) == ToolOutcome('{"a": 1}')


async def test_an_older_protocol_version_is_negotiated(make_servers: MakeServers, script: Script) -> None:
    refusal = {"code": -32602, "message": "Unsupported", "data": {"supported": ["2024-11-05", "2025-03-26", "1999"]}}
    servers = make_servers(m=script(refuses="2025-11-25", refusal=refusal))
    assert await listed(servers) == (["echo"], [])


async def test_a_problem_is_reported_once_and_stays_listed(make_servers: MakeServers, script: Script) -> None:
    settings_ = script({"tools": [ECHO, tool("bad", inputSchema=False)]})
    first, later = make_servers(m=settings_), make_servers(m=settings_)
    await first.tools()
    problem = "its tool bad is skipped: its parameters are false instead of a schema"
    assert first.take_news() == (f"MCP server m ({settings_.command}): {problem}",)
    assert first.take_news() == ()
    tools = await later.tools()
    assert later.take_news() == ()
    assert later.problems == (f"MCP server m ({settings_.command}): {problem}",)
    await call(tools, "mcp__m__echo", a=1)
    assert later.take_news() == ()


async def test_excess_news_is_summarized(make_servers: MakeServers, script: Script) -> None:
    servers = make_servers(m=script({"tools": [tool(f"t{number}", inputSchema=False) for number in range(30)]}))
    await servers.tools()
    news = servers.take_news()
    assert len(news) == 11
    assert news[-1] == "20 more problems: see `vmpilot tools`"
    assert servers.take_news() == ()


async def test_a_report_on_each_server(make_servers: MakeServers, script: Script) -> None:
    good = script({"tools": [ECHO, tool("bad", inputSchema=False)]})
    reports = await make_servers(good=good, gone=McpServer(command="no-such-program-here")).check()
    assert [(report.name, report.tools, len(report.problems)) for report in reports] == [
        ("good", 1, 1),
        ("gone", None, 1),
    ]


TOOLS = st.one_of(
    SCALARS,
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.one_of(SCALARS, st.sampled_from(["echo", "a b", "x" * 90])),
            "description": SCALARS,
            "title": SCALARS,
            "inputSchema": st.one_of(
                VALUES,
                st.fixed_dictionaries(
                    {},
                    optional={
                        "type": st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.just("object")),
                        "properties": st.one_of(
                            VALUES, st.dictionaries(st.sampled_from(["a", "b"]), VALUES, max_size=2)
                        ),
                        "required": VALUES,
                        "x-mcp-header": VALUES,
                        "$defs": VALUES,
                    },
                ),
            ),
            "outputSchema": VALUES,
            "annotations": VALUES,
            "icons": VALUES,
            "execution": VALUES,
        },
    ),
)


async def _examine(server: McpServer, folder: Path) -> None:
    servers = McpServers(McpSettings({"m": server}), folder=folder, environment={"PATH": "/usr/bin:/bin"})
    try:
        tools = await servers.tools()
        assert await call(tools, "mcp__m__sound", n=1) == ToolOutcome('{"n": 1}')
    finally:
        await servers.close()


@settings(
    max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
@given(
    entries=st.lists(TOOLS, max_size=40), handshake=st.fixed_dictionaries({}, optional=dict.fromkeys(HANDSHAKE, VALUES))
)
def test_any_list_of_tools_keeps_the_valid_one(
    script: Script, tmp_path: Path, entries: list[Any], handshake: dict[str, Any]
) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    asyncio.run(_examine(script({"tools": [*entries, tool("sound")]}, initialize=handshake), folder))


@settings(deadline=None)
@given(entries=st.lists(TOOLS, max_size=4))
def test_any_entry_is_a_definition_or_a_problem(entries: list[Any]) -> None:
    sent = json.loads(json.dumps(entries), parse_constant=str)
    definitions, faults = read_definitions("m", sent)
    assert len(definitions) + len(faults) == len(sent)
    for definition in definitions:
        assert definition.parameters["type"] == "object"
        assert object_schema(definition.parameters) == definition.parameters
