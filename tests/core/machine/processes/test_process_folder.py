"""The folders in which commands start and end."""

from pathlib import Path

import pytest
from tests.core.machine.conftest import Run


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        ("cd /usr", "/usr"),
        ("cd /usr; exit 3", "/usr"),
        ("set -e; cd /usr; false", "/usr"),
        ("set -ux; cd /usr; echo $nothing", "/usr"),
        ("cd /usr\nfoo(", "/usr"),
        ("cd /usr; kill $$; sleep 10", "/usr"),
        ("cd /usr; exec 3>&1 9>/dev/null; sleep 1000 & true", "/usr"),
        ("pwd() { echo /fooled; }; cd /usr", "/usr"),
        ("mkdir -p 'a b\n'; cd 'a b\n'", "a b\n"),
        ("ln -s /usr link; cd link", "/usr"),
        ("(cd /usr)", ""),
        ("true", ""),
    ],
)
async def test_the_last_folder_of_the_shell_is_reported(run: Run, tmp_path: Path, command: str, folder: str) -> None:
    outcome = await run(command)
    assert outcome.working_folder == tmp_path / folder


@pytest.mark.parametrize(
    "command", ["cd /usr; exec true", "cd /usr; kill -9 $$", "mkdir x; cd x; rmdir ../x", "trap true EXIT; cd /usr"]
)
async def test_an_unknown_folder_is_not_reported(run: Run, command: str) -> None:
    assert (await run(command)).working_folder is None


async def test_a_command_starts_in_the_given_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    outcome = await run("pwd", folder=tmp_path / "inner")
    assert outcome.output.text == f"{tmp_path}/inner\n"


async def test_a_bash_env_of_the_user_is_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "it's.sh").write_text("echo sourced; cd /usr\n")
    outcome = await run("echo $BASH_ENV", variables={"BASH_ENV": f"{tmp_path}/it's.sh"})
    assert outcome.output.text == f"sourced\n{tmp_path}/it's.sh\n"
    assert outcome.working_folder == Path("/usr")
