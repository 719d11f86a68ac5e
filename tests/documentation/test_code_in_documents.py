"""Every Python block of the README and the documentation runs unchanged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

ROOT = Path(__file__).parents[2]
IN_STEPS = "writing-a-backend.md"
"""Its blocks build on each other; `test_writing_a_backend` runs them."""

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "vmpilot-core/docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)

BLOCKS = [
    pytest.param(found[1], id=f"{path.name}-{number}")
    for path in DOCUMENTS
    if path.name != IN_STEPS
    for number, found in enumerate(BLOCK.finditer(path.read_text(encoding="utf-8")), start=1)
]


@pytest.mark.parametrize("code", BLOCKS)
def test_block_runs(
    code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = [Reply("", tool_calls=(ScriptedCall("shell", {"command": "free -m"}),)), Reply("Plenty.")]
    with ScriptedServer(script, repeat_last=True) as server:
        monkeypatch.setenv("VMPILOT_BASE_URL", server.base_url)
        monkeypatch.setenv("VMPILOT_MODEL", "scripted")
        monkeypatch.setenv("VMPILOT_BACKEND", "langchain")
        monkeypatch.setenv("VMPILOT_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("VMPILOT_CONFIG_DIR", str(tmp_path))
        exec(compile(code, "document", "exec"), {"__name__": "__main__"})
        if "Agent(" in code:
            assert "Plenty." in capsys.readouterr().out


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_are_valid(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
