"""Tool plugins: a real sample distribution, and broken ones, which are reported by name and do not affect others."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import jsonschema_rs  # noqa: F401  before the tests take the installed libraries out of sight
import pytest

from vmpilot.contract import Acts, SimpleTool, Tool, ToolContext, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.installation import uninstall_command, upgrade_command
from vmpilot.plugins import installed_backends, installed_tool_plugins, load_tool_plugins

Install = Callable[[str, str], None]

USE = ToolUse(lambda _text: None)
ANY = {"type": "object", "properties": {}}

HEAD = """
from vmpilot.contract import *
ANY = {"type": "object", "properties": {}}
def tool(name="mine", description="Mine.", parameters=ANY, work=lambda arguments: "done"):
    return SimpleTool(ToolSpec(name, description, parameters), work)
"""

GOOD = """
@hookimpl
def provide_tools():
    return [tool("other")]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed_samples: Callable[..., None]) -> Install:
    """Write a distribution with one tool plugin, `vmpilot-sample-NAME`, and hide all but it and earlier ones."""
    installed_samples(alone=True)

    def write(name: str, code: str) -> None:
        module = f"vmpilot_sample_{name}"
        metadata = tmp_path / f"{module}-2.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vmpilot-sample-{name}\nVersion: 2.0\n")
        (metadata / "entry_points.txt").write_text(f"[vmpilot.tools]\n{name} = {module}\n")
        (tmp_path / f"{module}.py").write_text(HEAD + textwrap.dedent(code))

    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return write


def load(tmp_path: Path, *taken: str) -> tuple[dict[str, Tool], tuple[str, ...]]:
    loaded = load_tool_plugins(ToolContext(tmp_path), taken=taken)
    return {tool.spec.name: tool for tool in loaded.tools}, loaded.problems


async def test_the_sample(installed_samples: Callable[..., None], tmp_path: Path) -> None:
    installed_samples("greeting", "echo", alone=True)
    assert [plugin.distribution for plugin in installed_tool_plugins()] == ["vmpilot-sample-greeting"]
    assert [plugin.distribution for plugin in installed_backends()] == ["vmpilot-sample-echo"]
    assert not [name for name in sys.modules if name.startswith("vmpilot_sample_")]

    tools, problems = load(tmp_path, "shell")
    assert problems == ()
    assert list(tools) == ["greet", "note_visitor"]
    greet, visitors = tools["greet"], tools["note_visitor"]
    assert await greet.run({"name": "Ada"}, USE) == ToolOutcome("Hello, Ada!")

    seen: list[str] = []
    outcome = await visitors.run({"name": "Ada"}, ToolUse(seen.append))
    assert (outcome, seen) == (ToolOutcome("written"), ["writing\n"])
    assert (tmp_path / "visitors.txt").read_text() == "Ada\n"
    with pytest.raises(ToolError, match="ask for it"):
        await visitors.run({"name": ""}, USE)


def test_the_core_determines_effect_and_title_of_a_plugin_tool(
    installed_samples: Callable[..., None], tmp_path: Path
) -> None:
    installed_samples("greeting", alone=True)
    visitors = load(tmp_path)[0]["note_visitor"]
    assert visitors.effect({"name": "Ada"}) == Acts("note_visitor")
    assert visitors.title({"name": "Ada\x1b"}) == 'note_visitor {"name": "Ada\\u001b"}'
    assert visitors.folder is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_module", "cannot be imported (vmpilot_sample_bad: ModuleNotFoundError: No module named 'no_"),
        ("raise SystemExit('no')", "cannot be imported (vmpilot_sample_bad: SystemExit: no)"),
        ("def broken(:", "cannot be imported (vmpilot_sample_bad: SyntaxError"),
        ("x = 1", "has no provide_tools marked with vmpilot.contract.hookimpl"),
        ("@hookimpl\ndef provide_tool(): return []", "does not match the hooks (unknown hook 'provide_tool'"),
        (
            "@hookimpl\ndef provide_tools(folder): return []",
            "does not match the hooks (Plugin 'bad' for hook 'provide_",
        ),
        ("@hookimpl\ndef provide_tools(): return []", "provides no tools"),
        ("@hookimpl\ndef provide_tools(): return None", "provides no tools"),
        ("@hookimpl\ndef provide_tools(): return 7", "provides a int instead of a list of tools"),
        ("@hookimpl\nasync def provide_tools(): return []", "provides a coroutine instead of a list of tools"),
        ("@hookimpl\ndef provide_tools(): 1 / 0", "failed in provide_tools (ZeroDivisionError: division by zero)"),
        ("@hookimpl\ndef provide_tools(): return ['shell']", "provides a str that is not a tool"),
        ("@hookimpl\ndef provide_tools(): return [tool(), tool()]", "provides two tools with the same name"),
        ("@hookimpl\ndef provide_tools(): return [tool('my tool')]", "('my tool': its name must be 1 to 64 letters"),
        ("@hookimpl\ndef provide_tools(): return [tool('mcp__a__b')]", "the prefix mcp_ is reserved for MCP servers"),
        ("@hookimpl\ndef provide_tools(): return [tool(description=' ')]", "its description is empty"),
        ("@hookimpl\ndef provide_tools(): return [tool(parameters={})]", "its parameters are not the schema"),
        (
            "@hookimpl\ndef provide_tools(): return [tool(parameters=ANY | {'required': 3})]",
            "its parameters are not valid JSON Schema",
        ),
        (
            "@hookimpl\ndef provide_tools(): return [tool(parameters=ANY | {'$ref': 'http://127.0.0.1:9/'})]",
            "its parameters refer to another document",
        ),
        ("@hookimpl\ndef provide_tools(): return [tool(parameters=ANY | {'a': {1}})]", "its parameters are not a JSON"),
        (
            "@hookimpl\ndef provide_tools(): return [tool('shell')]",
            'provides a tool "shell", which is the name of a tool of',
        ),
    ],
)
def test_a_broken_plugin_is_reported_and_the_others_work(
    install: Install, tmp_path: Path, code: str, said: str
) -> None:
    install("bad", code)
    install("good", GOOD)
    tools, (problem,) = load(tmp_path, "shell")
    assert list(tools) == ["other"]
    assert problem.startswith('Tool plugin "bad" of vmpilot-sample-bad 2.0 ')
    commands = upgrade_command("vmpilot-sample-bad"), uninstall_command("vmpilot-sample-bad")
    assert problem.endswith(". Run `{}` or `{}`.".format(*commands))
    assert said in problem


def test_two_plugins_with_the_same_tool_name(install: Install, tmp_path: Path) -> None:
    install("one", GOOD)
    install("two", GOOD)
    tools, (problem,) = load(tmp_path)
    assert list(tools) == ["other"]
    assert 'vmpilot-sample-two 2.0 provides a tool "other", and so does vmpilot-sample-one. Run' in problem


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("lambda arguments: 7", "The tool of vmpilot-sample-odd is broken: it did not return a ToolOutcome with text"),
        ("lambda arguments: exit(3)", "The tool of vmpilot-sample-odd tried to exit VMPilot (exit code 3)"),
    ],
)
async def test_a_tool_that_fails(install: Install, tmp_path: Path, work: str, said: str) -> None:
    install("odd", f"@hookimpl\ndef provide_tools(): return [tool(work={work})]")
    with pytest.raises(ToolError) as caught:
        await load(tmp_path)[0]["mine"].run({}, USE)
    assert str(caught.value) == said


async def test_a_long_text_is_cut(install: Install, tmp_path: Path) -> None:
    install("long", "@hookimpl\ndef provide_tools(): return [tool(work=lambda arguments: 'x' * 50_000)]")
    text = (await load(tmp_path)[0]["mine"].run({}, USE)).text
    assert "[… 10,000 characters cut …]" in text
    assert len(text) < 40_100


async def test_a_plugin_can_also_be_a_backend(install: Install, tmp_path: Path) -> None:
    install("both", GOOD + "@hookimpl\ndef generate_responses(request):\n    yield 'hello'\n")
    tools, problems = load(tmp_path)
    assert (list(tools), problems) == (["other"], ())


async def test_a_simple_tool_can_be_asynchronous() -> None:
    async def work(arguments: object) -> ToolOutcome:
        return ToolOutcome("no", is_error=True)

    tool = SimpleTool(ToolSpec("mine", "Mine.", ANY), work)
    assert await tool.run({}, USE) == ToolOutcome("no", is_error=True)
    assert (tool.title({"a": 1}), tool.effect({}), tool.folder) == ('mine {"a": 1}', Acts("mine"), None)


def test_help_imports_no_plugin(sample_environment: Callable[..., dict[str, str]]) -> None:
    program = (
        "import sys, json\n"
        "from vmpilot.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(json.dumps([name for name in sys.modules if 'sample' in name or name == 'mcp']), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=sample_environment("greeting"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stderr) == []
