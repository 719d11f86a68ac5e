"""The checks of `vmpilot doctor` other than the sandbox. Each reports a state and how to fix a bad one."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeAlias

from vmpilot.app import Agent
from vmpilot.cli._options import GivenSettings
from vmpilot.cli._table import count
from vmpilot.config import Environment, LoadedSettings, load_settings
from vmpilot.contract import BackendError, VMPilotError
from vmpilot.local_model import QWEN_CODER, LocalModelError, check_engine
from vmpilot.plugins import choose_backend, installed_backends
from vmpilot.store import ConversationStore
from vmpilot.tools.mcp import ServerReport

State: TypeAlias = Literal["ok", "note", "broken"]

_OLDEST_PYTHON = (3, 11)
_PROGRAMS = {
    "bash": ("broken", "apt install bash (required to run commands)"),
    "git": ("note", "apt install git (required for requests about repositories)"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `mend` is how to fix it, empty if there is nothing to fix."""

    name: str
    state: State
    detail: str
    mend: str = ""


async def check_installation(environment: Environment, folder: Path, *, options: GivenSettings) -> list[Check]:
    """All checks but the sandbox, for work in `folder` with the settings that options give."""
    loaded, settings = _check_settings(environment, folder, options)
    return [
        _check_python(),
        *_check_backends(loaded),
        settings,
        _check_data_folder(environment.data_folder),
        await _check_log(environment, loaded),
        *await _check_mcp_servers(environment, folder, loaded),
        *(_check_program(name, environment) for name in _PROGRAMS),
        _check_terminal(environment),
        _check_local_model(environment),
    ]


def _check_python() -> Check:
    detail = f"{platform.python_version()} ({sys.executable}) on {platform.system()} {platform.release()}"
    if sys.version_info < _OLDEST_PYTHON:
        return Check("Python", "broken", detail, mend="install Python 3.11 or newer")
    return Check("Python", "ok", detail)


def _check_backends(loaded: LoadedSettings | None) -> list[Check]:
    installed = installed_backends()
    listed = ", ".join(f"{one.name} ({one.distribution} {one.version})" for one in installed) or "none"
    try:
        versions = Check("VMPilot", "ok", f"vmpilot-core {version('vmpilot-core')}; backends: {listed}")
    except PackageNotFoundError:
        versions = Check("VMPilot", "broken", "not installed as a distribution", mend="pip install vmpilot-core")
    if loaded is None:
        return [versions]
    try:
        choice = choose_backend(installed, loaded.settings.backend, asked_by=loaded.origins.get("backend", ""))
    except BackendError as error:
        return [versions, Check("backend", "broken", str(error))]
    return [versions, Check("backend", "ok", f"{choice.backend.name}: {choice.why}")]


def _check_settings(
    environment: Environment, folder: Path, options: GivenSettings
) -> tuple[LoadedSettings | None, Check]:
    try:
        loaded = load_settings(environment, folder=folder, options=options)
    except VMPilotError as error:
        return None, Check(
            "settings", "broken", str(error), mend=f"correct it; your configuration file is {environment.user_file}"
        )
    origins = sorted(set(loaded.origins.values()))
    detail = "; ".join((f"from {', '.join(origins)}" if origins else "all defaults", *loaded.remarks))
    return loaded, Check("settings", "note" if loaded.remarks else "ok", detail)


def _check_data_folder(folder: Path) -> Check:
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Check("data folder", "ok", str(folder) if existing == folder else f"{folder} (not created yet)")
    return Check(
        "data folder",
        "broken",
        f"cannot write to {folder}: {existing} is not a writable folder",
        mend="change its owner or mode, or set VMPILOT_DATA_DIR to another folder",
    )


async def _check_log(environment: Environment, loaded: LoadedSettings | None) -> Check:
    url = None if loaded is None else loaded.settings.database_url
    if url is None and not environment.data_folder.exists():
        return Check("log", "ok", "no conversations yet")
    store = ConversationStore(environment.data_folder, database_url=url)
    try:
        chats = await store.list_chats()
    except VMPilotError as error:
        return Check("log", "broken", str(error))
    finally:
        await store.close()
    place = str(environment.data_folder) if url is None else loaded.shown()["database_url"][0] if loaded else ""
    return Check("log", "ok", f"{count(len(chats), 'conversation')} in {place}")


async def _check_mcp_servers(environment: Environment, folder: Path, loaded: LoadedSettings | None) -> list[Check]:
    """Start each configured and enabled server, as a request would."""
    if loaded is None or not loaded.settings.mcp.servers:
        return []
    async with Agent(folder=folder, environment=environment) as agent:
        return [_check_mcp_server(report, environment) for report in await agent.check_servers()]


def _check_mcp_server(report: ServerReport, environment: Environment) -> Check:
    name = f"MCP server {report.name}"
    problems = " ".join("; ".join(report.problems).split())
    if report.tools is None:
        mend = f"correct [mcp.servers.{report.name}] in {environment.user_file}, or set enabled = false there"
        return Check(name, "broken", f"{report.place}: {problems}", mend=mend)
    usable = f"{count(report.tools, 'tool')} from {report.place}"
    return Check(name, "note" if problems else "ok", f"{usable}; {problems}" if problems else usable)


def _check_program(name: str, environment: Environment) -> Check:
    if path := shutil.which(name, path=environment.variables.get("PATH", os.defpath)):
        return Check(name, "ok", path)
    state, mend = _PROGRAMS[name]
    return Check(name, "broken" if state == "broken" else "note", "not on the PATH", mend=mend)


def _check_terminal(environment: Environment) -> Check:
    if sys.stdin.isatty() and sys.stderr.isatty():
        return Check("terminal", "ok", environment.variables.get("TERM", "unknown type"))
    return Check("terminal", "note", "not attached, so actions that need approval are denied")


def _check_local_model(environment: Environment) -> Check:
    weights = environment.cache_folder / "models" / QWEN_CODER.file_name
    try:
        check_engine()
    except LocalModelError as error:
        return Check("local model", "note", f"not installed: {error}")
    if not weights.exists():
        return Check("local model", "ok", "llama.cpp is installed; the weights are downloaded on first use")
    return Check("local model", "ok", str(weights))
