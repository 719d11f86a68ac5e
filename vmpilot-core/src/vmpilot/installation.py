"""The shell commands that add and remove distributions where VMPilot itself is installed.

Reads what installers leave behind: direct_url.json (PEP 610), EXTERNALLY-MANAGED (PEP 668), pipx_metadata.json,
uv-receipt.toml, and the path of an environment in uv's cache (uvx). Runs nothing.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import site
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

_CORE = "vmpilot-core"
_UV_CACHE = re.compile(r"/(?:archive|environments)-v\d+/")
_REQUIREMENT = re.compile(r"([\w.-]+?)(\[[\w.,-]+\])?")


def install_command(*requirements: str) -> str:
    """The command that adds these (`vmpilot-backend-litellm`, `vmpilot-core[web]`) to VMPilot's environment.

    VMPilot's own distributions come from where the core came from: a folder, a wheel beside it, a repository.
    """
    return Installation.current().install_command(*requirements)


def upgrade_command(name: str) -> str:
    """The command that upgrades a distribution in VMPilot's environment."""
    return Installation.current().upgrade_command(name)


def uninstall_command(name: str) -> str:
    """The command that removes a distribution from VMPilot's environment."""
    return Installation.current().uninstall_command(name)


@dataclass(frozen=True, slots=True)
class Installation:
    """A Python environment as far as these commands depend on it.

    `origin` is the core's direct_url.json, None if the core came from a package index. `pip` is the command for pip
    here, empty if it is not installed. `flags` are what pip needs to change an environment that the system manages.
    """

    python: str
    prefix: Path
    origin: Mapping[str, Any] | None
    pip: tuple[str, ...]
    flags: tuple[str, ...] = ()
    uv: bool = True
    ensurepip: bool = True

    @classmethod
    def current(cls) -> Installation:
        """The environment that runs this code."""
        core = _find_core()
        python = Path(sys.executable)
        pip: tuple[str, ...] = ()
        if find_spec("pip") is not None:
            on_path = shutil.which("pip")
            own = on_path is not None and Path(on_path).parent == python.parent
            pip = ("pip",) if own else (str(python), "-m", "pip")
        return cls(
            python=str(python),
            prefix=Path(sys.prefix),
            origin=_read_origin(core),
            pip=pip,
            flags=_system_flags(core),
            uv=shutil.which("uv") is not None or _installed_by_uv(core),
            ensurepip=find_spec("ensurepip") is not None,
        )

    def install_command(self, *requirements: str) -> str:
        """See the function of this name."""
        places = [self._place(requirement) for requirement in requirements]
        words = [word for place in places for word in place]
        for_core = any(requirement.startswith(_CORE) for requirement in requirements)
        match self._manager:
            case "pipx" if for_core:  # `pipx inject` cannot add extras of the main distribution
                return shlex.join(["pipx", "runpip", self.prefix.name, "install", *words])
            case "pipx":
                named = [word for word in words if word != "-e"]
                editable = ["--editable"] if len(named) < len(words) else []  # which applies to all of them
                return shlex.join(["pipx", "inject", self.prefix.name, *editable, *named])
            case "uv tool":
                return _uv_tool_install(self._uv_receipt, added=requirements, places=places)
            case "uvx":
                core = next((one for one in requirements if one.startswith(_CORE)), _CORE)
                others = [place for one, place in zip(requirements, places, strict=True) if one != core]
                return shlex.join(["uvx", *_uv_words("--from", self._place(core)), *_all_with(others), "vmpilot"])
            case _:
                return self._by_pip("install", *words)

    def upgrade_command(self, name: str) -> str:
        """See the function of this name."""
        match self._manager:
            case "pipx":
                return shlex.join(["pipx", "upgrade", "--include-injected", self.prefix.name])
            case "uv tool":
                return shlex.join(["uv", "tool", "upgrade", _CORE])
            case "uvx":
                return shlex.join(
                    ["uvx", "--refresh", "--from", _CORE, *_all_with([(name,)] * (name != _CORE)), "vmpilot"]
                )
            case _:
                return self._by_pip("install", "--upgrade", name)

    def uninstall_command(self, name: str) -> str:
        """See the function of this name."""
        match self._manager:
            case "pipx" if name in self._injected:
                return shlex.join(["pipx", "uninject", self.prefix.name, name])
            case "pipx":
                return shlex.join(["pipx", "runpip", self.prefix.name, "uninstall", name])
            case "uv tool":
                return _uv_tool_install(self._uv_receipt, removed=name)
            case "uvx":
                return shlex.join(["uvx", "--from", _CORE, "vmpilot"])
            case _:
                return self._by_pip("uninstall", name)

    @property
    def _manager(self) -> Literal["pip", "pipx", "uv tool", "uvx"]:
        if self._pipx_metadata.exists():
            return "pipx"
        if self._uv_receipt.exists():
            return "uv tool"
        return "uvx" if _UV_CACHE.search(self.prefix.as_posix()) else "pip"

    @property
    def _pipx_metadata(self) -> Path:
        return self.prefix / "pipx_metadata.json"

    @property
    def _uv_receipt(self) -> Path:
        return self.prefix / "uv-receipt.toml"

    @property
    def _injected(self) -> frozenset[str]:
        """The distributions that were added with `pipx inject`."""
        try:
            return frozenset(json.loads(self._pipx_metadata.read_bytes())["injected_packages"])
        except (OSError, ValueError, KeyError, TypeError):
            return frozenset()

    def _by_pip(self, action: str, *words: str) -> str:
        flags = self.flags if action == "install" else tuple(flag for flag in self.flags if flag != "--user")
        if self.pip:
            return shlex.join([*self.pip, action, *flags, *words])
        if not self.uv and self.ensurepip:
            pip = [self.python, "-m", "pip", action, *flags, *words]
            return f"{shlex.join([self.python, '-m', 'ensurepip'])} && {shlex.join(pip)}"
        flags = tuple(flag for flag in flags if flag != "--user")
        return shlex.join(["uv", "pip", action, "--python", self.python, *flags, *words])

    def _place(self, requirement: str) -> tuple[str, ...]:
        """A requirement in pip's words: its name, or its place beside the core."""
        parts = _REQUIREMENT.fullmatch(requirement)
        if self.origin is None or parts is None or not requirement.startswith("vmpilot-"):
            return (requirement,)
        name, extras = parts[1], parts[2] or ""
        url = str(self.origin.get("url", ""))
        match self.origin:
            case {"vcs_info": {"vcs": str(vcs), **commit}}:
                revision = commit.get("requested_revision") or commit.get("commit_id")
                at = f"@{revision}" if revision else ""
                return (f"{name}{extras} @ {vcs}+{url}{at}#subdirectory={name}",)
            case {"dir_info": dict(info)} if (folder := _local(url)) is not None:
                folder = folder if name == _CORE else folder.parent / name
                if (folder / "pyproject.toml").exists():
                    return ("-e", f"{folder}{extras}") if info.get("editable") else (f"{folder}{extras}",)
            case {"archive_info": _} if (file := _local(url)) is not None:
                pattern = f"{name.replace('-', '_')}-*{file.suffix}"
                wheel = file if name == _CORE else max(file.parent.glob(pattern), default=None)
                if wheel is not None and wheel.exists():
                    return (f"{wheel}{extras}",)
            case {"archive_info": _} if name == _CORE:
                return (f"{name}{extras} @ {url}",)
            case _:
                pass
        return (requirement,)


def _find_core() -> Distribution | None:
    try:
        return distribution(_CORE)
    except PackageNotFoundError:  # running from the source folder
        return None


def _read_origin(core: Distribution | None) -> Mapping[str, Any] | None:
    try:
        found = json.loads((core and core.read_text("direct_url.json")) or "null")
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _installed_by_uv(core: Distribution | None) -> bool:
    """Whether uv installed the core; then the user has it, even if it is not on this process's PATH."""
    try:
        return core is not None and (core.read_text("INSTALLER") or "").strip() == "uv"
    except OSError:
        return False


def _local(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _system_flags(core: Distribution | None) -> tuple[str, ...]:
    """The flags that pip needs outside a virtual environment: consent (PEP 668), and `--user` if the core has it."""
    if sys.prefix != sys.base_prefix:
        return ()
    managed = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()
    place = None if core is None else Path(str(core.locate_file("")))
    user = place is not None and site.ENABLE_USER_SITE and place == Path(site.getusersitepackages())
    return (*(["--user"] if user else []), *(["--break-system-packages"] if managed else []))


def _uv_tool_install(
    receipt: Path, *, added: Sequence[str] = (), places: Sequence[tuple[str, ...]] = (), removed: str = ""
) -> str:
    """`uv tool install` replaces the tool's requirements, so it gets those of the receipt with the change."""
    try:
        known = tomllib.loads(receipt.read_text(encoding="utf-8"))["tool"]["requirements"]
        main, *others = sorted(known, key=lambda one: one["name"] != _CORE)
    except (OSError, ValueError, KeyError, TypeError):
        main, others = {"name": _CORE}, []
    extras = set(main.get("extras", ()))
    new: list[tuple[str, ...]] = []
    for requirement, place in zip(added, places, strict=True):
        parts = _REQUIREMENT.fullmatch(requirement)
        if parts is not None and parts[1] == _CORE and parts[2]:
            extras |= set(parts[2].strip("[]").split(","))
        else:
            new.append(place)
    base = [*(["--editable"] if "editable" in main else []), _uv_place(main, extras)]
    kept = [
        (*(["-e"] if "editable" in other else []), _uv_place(other, set(other.get("extras", ()))))
        for other in others
        if other["name"] != removed
    ]
    return shlex.join(["uv", "tool", "install", *base, *_all_with([*kept, *new])])


def _all_with(places: Iterable[tuple[str, ...]]) -> list[str]:
    return [word for place in places for word in _uv_words("--with", place)]


def _uv_words(option: str, place: tuple[str, ...]) -> list[str]:
    """An option of uv with a place in pip's words, which may begin with `-e`."""
    return [f"{option}-editable" if place[0] == "-e" and option == "--with" else option, place[-1]]


def _uv_place(requirement: Mapping[str, Any], extras: set[str]) -> str:
    """A requirement of a uv receipt, as for the command line."""
    name = requirement["name"]
    wanted = f"[{','.join(sorted(extras))}]" if extras else ""
    for key in ("editable", "directory", "path"):
        if key in requirement:
            return f"{requirement[key]}{wanted}"
    if "git" in requirement:
        url, _, query = str(requirement["git"]).partition("?")
        fields = dict(parse_qsl(query))
        revision = next((f"@{fields[key]}" for key in ("rev", "tag", "branch") if key in fields), "")
        folder = f"#subdirectory={fields['subdirectory']}" if "subdirectory" in fields else ""
        return f"{name}{wanted} @ git+{url}{revision}{folder}"
    if "url" in requirement:
        return f"{name}{wanted} @ {requirement['url']}"
    return f"{name}{wanted}{requirement.get('specifier', '')}"
