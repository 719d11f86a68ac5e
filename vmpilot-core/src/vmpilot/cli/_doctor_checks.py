"""What `vmpilot doctor` looks at besides the sandbox. Each check says what is and, where it is bad, how to mend it."""

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
from vmpilot.config import Environment, LoadedSettings, load_settings
from vmpilot.contract import BackendError, VMPilotError
from vmpilot.local_model import QWEN_CODER, LocalModelError, check_engine
from vmpilot.plugins import choose_backend, installed_backends
from vmpilot.store import ConversationStore
from vmpilot.tools.mcp import ServerReport

State: TypeAlias = Literal["ok", "note", "broken"]

_OLDEST_PYTHON = (3, 11)
_PROGRAMS = {
    "bash": ("broken", "apt install bash (commands need it)"),
    "git": ("note", "apt install git (without it nothing about repositories can be asked)"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `mend` is what to do, empty where nothing is."""

    name: str
    state: State
    detail: str
    mend: str = ""


async def check_installation(environment: Environment, folder: Path, *, options: GivenSettings) -> list[Check]:
    """Everything but the sandbox, for work in `folder` with the settings that options give."""
    sourced, settings = _check_settings(environment, folder, options)
    return [
        _check_python(),
        *_check_backends(sourced),
        settings,
        _check_data_folder(environment.data_folder),
        await _check_log(environment, sourced),
        *await _check_mcp_servers(environment, folder, sourced),
        *(_check_program(name, environment) for name in _PROGRAMS),
        _check_terminal(environment),
        _check_local_model(environment),
    ]


def _check_python() -> Check:
    detail = f"{platform.python_version()} ({sys.executable}) on {platform.system()} {platform.release()}"
    if sys.version_info < _OLDEST_PYTHON:
        return Check("Python", "broken", detail, mend="install Python 3.11 or newer")
    return Check("Python", "ok", detail)


def _check_backends(sourced: LoadedSettings | None) -> list[Check]:
    installed = installed_backends()
    listed = ", ".join(f"{one.name} ({one.distribution} {one.version})" for one in installed) or "none"
    try:
        versions = Check("VMPilot", "ok", f"vmpilot-core {version('vmpilot-core')}; backends: {listed}")
    except PackageNotFoundError:
        versions = Check("VMPilot", "broken", "runs without being installed", mend="pip install vmpilot-core")
    if sourced is None:
        return [versions]
    try:
        choice = choose_backend(installed, sourced.settings.backend, asked_by=sourced.origins.get("backend", ""))
    except BackendError as error:
        return [versions, Check("backend", "broken", str(error))]
    return [versions, Check("backend", "ok", f"{choice.backend.name}: {choice.why}")]


def _check_settings(
    environment: Environment, folder: Path, options: GivenSettings
) -> tuple[LoadedSettings | None, Check]:
    try:
        sourced = load_settings(environment, folder=folder, options=options)
    except VMPilotError as error:
        return None, Check("settings", "broken", str(error), mend=f"the user's file is {environment.user_file}")
    origins = sorted(set(sourced.origins.values()))
    detail = "; ".join((f"from {', '.join(origins)}" if origins else "all defaults", *sourced.remarks))
    return sourced, Check("settings", "note" if sourced.remarks else "ok", detail)


def _check_data_folder(folder: Path) -> Check:
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Check("data folder", "ok", str(folder) if existing == folder else f"{folder} (not made yet)")
    return Check(
        "data folder",
        "broken",
        f"{folder} cannot be written to, because of {existing}",
        mend="mend its owner and mode, or set VMPILOT_DATA_DIR to another folder",
    )


async def _check_log(environment: Environment, sourced: LoadedSettings | None) -> Check:
    url = None if sourced is None else sourced.settings.database_url
    if url is None and not environment.data_folder.exists():
        return Check("log", "ok", "no conversations yet")
    store = ConversationStore(environment.data_folder, database_url=url)
    try:
        chats = await store.list_chats()
    except VMPilotError as error:
        return Check("log", "broken", str(error))
    finally:
        await store.close()
    place = str(environment.data_folder) if url is None else sourced.shown()["database_url"][0] if sourced else ""
    return Check("log", "ok", f"{len(chats)} conversations in {place}")


async def _check_mcp_servers(environment: Environment, folder: Path, sourced: LoadedSettings | None) -> list[Check]:
    """Each server that is configured and enabled is started, as a run would start it."""
    if sourced is None or not sourced.settings.mcp.servers:
        return []
    async with Agent(folder=folder, environment=environment) as agent:
        return [_check_mcp_server(report, environment) for report in await agent.check_servers()]


def _check_mcp_server(report: ServerReport, environment: Environment) -> Check:
    name = f"MCP server {report.name}"
    problems = " ".join("; ".join(report.problems).split())
    if report.tools is None:
        mend = f"correct [mcp.servers.{report.name}] in {environment.user_file}, or set enabled = false there"
        return Check(name, "broken", f"{report.place}: {problems}", mend=mend)
    usable = f"{report.tools} tool{'' if report.tools == 1 else 's'} from {report.place}"
    return Check(name, "note" if problems else "ok", f"{usable}; {problems}" if problems else usable)


def _check_program(name: str, environment: Environment) -> Check:
    if path := shutil.which(name, path=environment.variables.get("PATH", os.defpath)):
        return Check(name, "ok", path)
    state, mend = _PROGRAMS[name]
    return Check(name, "broken" if state == "broken" else "note", "not on the PATH", mend=mend)


def _check_terminal(environment: Environment) -> Check:
    if sys.stdin.isatty() and sys.stderr.isatty():
        return Check("terminal", "ok", environment.variables.get("TERM", "of unknown kind"))
    return Check("terminal", "note", "none here: nobody can be asked, so what needs a yes is denied")


def _check_local_model(environment: Environment) -> Check:
    weights = environment.cache_folder / "models" / QWEN_CODER.file_name
    try:
        check_engine()
    except LocalModelError as error:
        return Check("local model", "note", f"not installed: {error}")
    if not weights.exists():
        return Check("local model", "ok", "llama.cpp is installed; the weights are fetched at the first use")
    return Check("local model", "ok", str(weights))
