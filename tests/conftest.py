"""Options of all tests, and the sample distributions of `tests/samples`, installed without pip."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import settings

settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)
settings.load_profile("quick")  # `nox -s fuzz` is thorough

BACKENDS = ("litellm", "langchain")
SAMPLES = Path(__file__).parent / "samples"

SampleFolders: TypeAlias = Callable[..., tuple[Path, ...]]
"""Maps names of samples to folders with their modules and metadata, like `site-packages`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--backends`: most tests of complete turns are the same for each backend, so one is enough by default."""
    parser.addoption(
        "--backends",
        choices=["all", *BACKENDS],
        default="langchain",
        help='run tests of whole turns on this backend; "all" runs them on each (default: %(default)s)',
    )


def chosen_backends(config: pytest.Config) -> tuple[str, ...]:
    """The backends that `--backends` names."""
    chosen = str(config.getoption("--backends"))
    return BACKENDS if chosen == "all" else (chosen,)


def pytest_configure() -> None:
    """Reset signals that the parent process ignored: a background job ignores SIGINT, nohup SIGHUP."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="module", autouse=True)
def _leaves_nothing_open() -> Iterator[None]:
    """Collect objects that the tests of a module left open, so that it fails there and not in a later, unrelated test.

    Older objects are excluded: with the libraries of both backends they take half a second.
    """
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture(scope="session")
def sample_folders(tmp_path_factory: pytest.TempPathFactory) -> SampleFolders:
    """Folders for `PYTHONPATH` or `sys.path` in which importlib.metadata finds the samples installed."""
    site = tmp_path_factory.mktemp("samples")

    def install(*names: str) -> tuple[Path, ...]:
        for name in names:
            if not (site / name).exists():
                _install_sample(SAMPLES / name, site / name)
        return tuple(site / name for name in names)

    return install


@pytest.fixture
def sample_environment(sample_folders: SampleFolders, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The environment variables of a user without settings, with the named samples installed, for a subprocess."""

    def make(*names: str, **variables: str) -> dict[str, str]:
        own = {
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, sample_folders(*names))),
            **{f"VMPILOT_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "CACHE")},
        }
        return own | variables

    return make


@pytest.fixture
def installed_samples(sample_folders: SampleFolders, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """In this process, make the named samples importable; undone after the test.

    With `alone=True` they are the only distributions that are found.
    """
    for name in [name for name in sys.modules if name.startswith("vmpilot_sample_")]:
        monkeypatch.delitem(sys.modules, name)  # of another test; restored at the end
    standard_library = [folder for folder in sys.path if not any(Path(folder).glob("*-info"))]

    def install(*names: str, alone: bool = False) -> None:
        rest = standard_library if alone else sys.path
        monkeypatch.setattr(sys, "path", [*map(str, sample_folders(*names)), *rest])

    yield install
    for name in [name for name in sys.modules if name.startswith("vmpilot_sample_")]:
        del sys.modules[name]


def _install_sample(source: Path, folder: Path) -> None:
    """Copy the modules and write the metadata of pyproject.toml, as pip does."""
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    for module in source.glob("*.py"):
        (folder / module.name).write_bytes(module.read_bytes())
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    (metadata / "entry_points.txt").write_text(_write_entry_points(project["entry-points"]), encoding="utf-8")


def _write_entry_points(groups: Mapping[str, Mapping[str, Any]]) -> str:
    sections = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
        for group, entries in groups.items()
    ]
    return "\n\n".join(sections) + "\n"
