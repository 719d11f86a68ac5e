"""The shell commands that add and remove distributions where VMPilot itself is installed.

Reads what installers leave behind: direct_url.json (PEP 610), EXTERNALLY-MANAGED (PEP 668), pipx_metadata.json, and
uv-receipt.toml. Runs nothing.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_CORE = "vmpilot-core"
_REQUIREMENT = re.compile(r"([\w.-]+?)(\[[\w.,-]+\])?")


def install_command(*requirements: str) -> str:
    """The command that adds these (`vmpilot-backend-litellm`, `vmpilot-core[web]`) to where VMPilot is installed.

    A sibling of the core is taken from where the core came from: a folder, a wheel beside it, a repository.
    """
    return Installation.current().install_command(*requirements)


def upgrade_command(name: str) -> str:
    """The command that upgrades a distribution where VMPilot is installed."""
    return Installation.current().upgrade_command(name)


def uninstall_command(name: str) -> str:
    """The command that removes a distribution from where VMPilot is installed."""
    return Installation.current().uninstall_command(name)


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment of Python as far as these commands depend on it.

    `origin` is the core's direct_url.json, None if the core came from a package index. `pip` is how pip is called
    here, empty if there is none. `flags` are what pip needs to change an environment that the system manages.
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
        """The one that runs this code."""
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
            uv=shutil.which("uv") is not None,
            ensurepip=find_spec("ensurepip") is not None,
        )

    def install_command(self, *requirements: str) -> str:
        """See the function of this name."""
        words = [word for requirement in requirements for word in self._place(requirement)]
        if self._pipx:
            # `pipx inject` is for other distributions; extras of the main one are pip's to add.
            core = any(requirement.startswith(_CORE) for requirement in requirements)
            start = ("pipx", "runpip", self.prefix.name, "install") if core else ("pipx", "inject", self.prefix.name)
            return shlex.join([*start, *(words if core else _without_editable(words))])
        if (receipt := self.prefix / "uv-receipt.toml").exists():
            return _uv_tool_command(receipt, requirements, places=[self._place(one) for one in requirements])
        return self._by_pip("install", *words)

    def upgrade_command(self, name: str) -> str:
        """See the function of this name."""
        if self._pipx:
            return shlex.join(["pipx", "runpip", self.prefix.name, "install", "--upgrade", name])
        return self._by_pip("install", "--upgrade", name)

    def uninstall_command(self, name: str) -> str:
        """See the function of this name."""
        if self._pipx:
            return shlex.join(["pipx", "runpip", self.prefix.name, "uninstall", name])
        return self._by_pip("uninstall", name)

    @property
    def _pipx(self) -> bool:
        return (self.prefix / "pipx_metadata.json").exists()

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
        """The words for pip that stand for a requirement: its name, or where it is beside the core."""
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
    except PackageNotFoundError:  # run from its source folder
        return None


def _read_origin(core: Distribution | None) -> Mapping[str, Any] | None:
    try:
        found = json.loads((core and core.read_text("direct_url.json")) or "null")
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _local(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _system_flags(core: Distribution | None) -> tuple[str, ...]:
    """What pip needs outside of a virtual environment: PEP 668's consent, and `--user` if the core is there."""
    if sys.prefix != sys.base_prefix:
        return ()
    managed = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()
    place = None if core is None else Path(str(core.locate_file("")))
    user = place is not None and site.ENABLE_USER_SITE and place == Path(site.getusersitepackages())
    return (*(["--user"] if user else []), *(["--break-system-packages"] if managed else []))


def _without_editable(words: Sequence[str]) -> list[str]:
    """`pipx inject` takes `--editable` for all that it is given."""
    rest = [word for word in words if word != "-e"]
    return [*(["--editable"] if len(rest) < len(words) else []), *rest]


def _uv_tool_command(receipt: Path, requirements: Sequence[str], *, places: Sequence[tuple[str, ...]]) -> str:
    """`uv tool install` replaces the tool's requirements, so it is given those of its receipt and the new ones."""
    try:
        known = tomllib.loads(receipt.read_text(encoding="utf-8"))["tool"]["requirements"]
        main, *others = sorted(known, key=lambda one: one["name"] != _CORE)
    except (OSError, ValueError, KeyError, TypeError):
        main, others = {"name": _CORE}, []
    extras = set(main.get("extras", ()))
    added: list[str] = []
    for requirement, place in zip(requirements, places, strict=True):
        parts = _REQUIREMENT.fullmatch(requirement)
        if parts is not None and parts[1] == _CORE and parts[2]:
            extras |= set(parts[2].strip("[]").split(","))
        else:
            added += ["--with-editable" if place[0] == "-e" else "--with", place[-1]]
    base = ["--editable", _uv_place(main, extras)] if "editable" in main else [_uv_place(main, extras)]
    kept = [
        word
        for other in others
        for word in (
            "--with-editable" if "editable" in other else "--with",
            _uv_place(other, set(other.get("extras", ()))),
        )
    ]
    return shlex.join(["uv", "tool", "install", *base, *kept, *added])


def _uv_place(requirement: Mapping[str, Any], extras: set[str]) -> str:
    """A requirement of a uv receipt as it is written on the command line."""
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
