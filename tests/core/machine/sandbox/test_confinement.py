"""From a level to restrictions, and the cases in which nothing is run."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.sandbox import Level, Sandbox, SandboxError, Shortcoming, confinement
from vmpilot.machine.sandbox.engine import Restrictions
from vmpilot.machine.sandbox.hidden_paths import HiddenPaths

LAUNCH = ShellLaunch(
    program="/bin/true", arguments=(b"true",), variables={}, descriptors=(), note_offset=0, remark=None
)


@dataclass
class Notebook:
    """An engine that records the restrictions."""

    name: str = "notebook"
    shortcomings: tuple[Shortcoming, ...] = ()
    restrictions: list[Restrictions] = field(default_factory=list)

    def confine(self, launch: ShellLaunch, restrictions: Restrictions, resources: ExitStack) -> ShellLaunch:
        self.restrictions.append(restrictions)
        return launch


def drawn(
    root: Path, *, level: Level = "workspace", folder: Path | None = None, hidden_paths: HiddenPaths | None = None
) -> Restrictions:
    notebook = Notebook()
    sandbox = Sandbox(notebook, hidden_paths or HiddenPaths(Path("/nonexistent")))
    with ExitStack() as resources:
        sandbox.confine(LAUNCH, confinement=level, folder=folder or root, root=root, resources=resources)
    return notebook.restrictions[0]


@pytest.mark.parametrize(
    "root", ["/", "/home", "/root", "/etc", "/usr", "/usr/lib", "/var", "/proc", "/run", "/var/spool"]
)
def test_no_command_changes_a_system_folder(root: str) -> None:
    refusal = Sandbox(Notebook(), HiddenPaths(Path("/nonexistent"))).refusal(Path(root))
    assert refusal is not None
    assert refusal.endswith("use a separate folder (--cwd)")
    with pytest.raises(SandboxError):
        drawn(Path(root))


def test_no_command_changes_the_home_folder_or_one_above(tmp_path: Path) -> None:
    home = tmp_path / "people" / "ada"
    home.mkdir(parents=True)
    for root in (home, home.parent):
        with pytest.raises(SandboxError, match=f"is or contains the home folder {home}"):
            drawn(root, hidden_paths=HiddenPaths(home))
    (home / "work").mkdir()
    assert drawn(home / "work", hidden_paths=HiddenPaths(home)).writable == home / "work"


def test_vmpilot_in_the_workspace_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, environment = tmp_path / "src" / "vmpilot", tmp_path / "venv"
    for folder in (program, environment):
        folder.mkdir(parents=True)
    monkeypatch.setattr(confinement, "_OWN_PROGRAM", (program, environment, Path("/usr")))
    assert set(drawn(tmp_path).guarded) == {program, environment}


def test_a_link_to_the_workspace_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(SandboxError, match="is part of the system"):
        drawn(tmp_path / "link")


def test_a_workspace_in_a_hidden_folder_is_refused(tmp_path: Path) -> None:
    keys = tmp_path / ".ssh" / "keys"
    keys.mkdir(parents=True)
    hidden_paths = HiddenPaths(tmp_path)
    assert "may hold secrets" in str(Sandbox(Notebook(), hidden_paths).refusal(keys))
    with pytest.raises(SandboxError, match="is hidden in the sandbox"):
        drawn(keys, hidden_paths=hidden_paths)


@pytest.mark.parametrize("folder", ["/run", "/proc/1", "/dev"])
def test_a_working_folder_that_the_sandbox_hides(tmp_path: Path, folder: str) -> None:
    with pytest.raises(SandboxError, match="is hidden in the sandbox; change to another one"):
        drawn(tmp_path, level="read", folder=Path(folder))


def test_a_working_folder_that_was_deleted(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no longer exists"):
        drawn(tmp_path, level="read", folder=tmp_path / "gone")


def test_level_read_makes_nothing_writable(tmp_path: Path) -> None:
    restrictions = drawn(tmp_path, level="read")
    assert (restrictions.writable, restrictions.guarded) == (None, ())


def test_repositories_and_project_files_are_guarded(tmp_path: Path) -> None:
    for name in (".git", "sub/.git", "sub/deep/.git"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tree").mkdir()
    for name in (".vmpilot.toml", "tree/.git", "sub/.vmpilot.toml"):
        (tmp_path / name).write_text("")
    guarded = {str(path.relative_to(tmp_path)) for path in drawn(tmp_path).guarded}
    names = {".git", "sub/.git", "sub/deep/.git", "tree/.git", ".vmpilot.toml", "sub/.vmpilot.toml"}
    assert guarded == names


def test_too_many_repositories(tmp_path: Path) -> None:
    for number in range(65):
        (tmp_path / str(number) / ".git").mkdir(parents=True)
    with pytest.raises(SandboxError, match="contains more than 64 repositories"):
        drawn(tmp_path)


def test_the_folder_of_a_linked_git_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "a" / "elsewhere").mkdir(parents=True)
    (tmp_path / "a" / ".git").symlink_to("elsewhere")
    assert drawn(tmp_path).guarded == (tmp_path / "a",)
    with pytest.raises(SandboxError, match="cannot be made writable"):
        drawn(tmp_path / "a")


def test_a_repository_without_a_working_tree(tmp_path: Path) -> None:
    for name in ("bare.git/objects", "bare.git/refs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bare.git" / "HEAD").write_text("ref: refs/heads/main\n")
    assert drawn(tmp_path).guarded == (tmp_path / "bare.git",)


def test_vmpilots_own_folders_are_hidden(tmp_path: Path) -> None:
    own = tmp_path / "data"
    own.mkdir()
    assert own in drawn(tmp_path, level="read", hidden_paths=HiddenPaths(Path("/nonexistent"), (own,))).hidden


def test_a_remark_is_added_to_an_earlier_one(tmp_path: Path) -> None:
    launch = ShellLaunch("/bin/sh", (b"sh",), (), {}, 0, remark="only sh here")
    with ExitStack() as resources:
        confined = Sandbox(Notebook(), HiddenPaths(Path("/nonexistent"))).confine(
            launch, confinement="read", folder=tmp_path, root=tmp_path, resources=resources
        )
    assert confined.remark is not None
    assert confined.remark.startswith("only sh here; ran in a sandbox")
