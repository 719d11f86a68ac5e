"""The three distributions are published as one project."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CORE = "vmpilot-core"
BACKENDS = {"langchain": "vmpilot-backend-langchain", "litellm": "vmpilot-backend-litellm"}
DISTRIBUTIONS = (CORE, *BACKENDS.values())
REPOSITORY = "https://github.com/vmpilot/vmpilot"


def read_project(name: str) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


@pytest.mark.parametrize(
    "field", ["version", "authors", "urls", "classifiers", "requires-python", "license", "readme", "license-files"]
)
def test_a_field_is_the_same_in_all_distributions(field: str) -> None:
    first, *others = (read_project(name)[field] for name in DISTRIBUTIONS)
    assert others == [first, first]


def test_the_distributions_require_each_other_in_the_current_series() -> None:
    major, minor, *_ = map(int, read_project(CORE)["version"].split("."))
    series = f">={major}.{minor},<{major}.{minor + 1}"
    for extra, backend in BACKENDS.items():
        assert read_project(CORE)["optional-dependencies"][extra] == [f"{backend}{series}"]
        assert f"{CORE}{series}" in read_project(backend)["dependencies"]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_links_in_a_published_readme_are_absolute_and_lead_to_files_of_the_repository(name: str) -> None:
    text = (ROOT / name / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)|^\[[^]]+\]: (\S+)$", text, flags=re.MULTILINE)
    targets = [*map("".join, links), *read_project(name)["urls"].values()]
    assert [target for target in targets if not target.startswith("https://")] == []
    paths = [match[1] for target in targets if (match := re.match(rf"{REPOSITORY}/(?:blob|tree)/main/(.+)", target))]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert paths
