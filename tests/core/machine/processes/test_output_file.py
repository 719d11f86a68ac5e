"""Long outputs, saved whole in files."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from vmpilot.machine.processes.output_file import OutputFile, tidy_outputs
from vmpilot.machine.secrets.masking import Masker
from vmpilot.tools import CommandRunner


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[CommandRunner]:
    runner = CommandRunner(
        {"PATH": os.environ["PATH"]}, masker=Masker(["OPENSESAME"]), outputs=tmp_path / "outputs" / "chat"
    )
    yield runner
    await runner.close()


def _path_in(text: str) -> Path:
    found = re.search(r"cut; full output in (/\S+\.txt) …\]", text)
    assert found
    return Path(found[1])


async def test_a_long_output_is_saved_whole_and_masked(runner: CommandRunner, tmp_path: Path) -> None:
    command = "seq 20000; printf 'OPEN'; sleep 0.1; echo SESAME; seq 20000; printf '\\e[31mred\\e[0m\\n'"
    outcome = await runner.run(command, folder=tmp_path, timeout=20)
    path = _path_in(outcome.output.text)
    numbers = "".join(f"{number}\n" for number in range(1, 20_001))
    assert path.read_text() == f"{numbers}[masked]\n{numbers}red\n"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_each_output_has_its_own_file(runner: CommandRunner, tmp_path: Path) -> None:
    paths = [_path_in((await runner.run("seq 20000", folder=tmp_path, timeout=20)).output.text).name for _ in range(3)]
    assert paths == ["1.txt", "2.txt", "3.txt"]


async def test_short_output_makes_no_file(runner: CommandRunner, tmp_path: Path) -> None:
    await runner.run("seq 1000", folder=tmp_path, timeout=20)
    assert not (tmp_path / "outputs").exists()


async def test_a_secret_at_the_cut_is_masked(runner: CommandRunner, tmp_path: Path) -> None:
    for length in range(19_990, 20_001):
        command = f"head -c {length} /dev/zero | tr '\\0' x; printf OPENSESAME; head -c 60000 /dev/zero | tr '\\0' y"
        text = (await runner.run(command, folder=tmp_path, timeout=20)).output.text
        assert "OPE" not in text
        assert "SAME" not in text


async def test_an_unwritable_folder_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file")
    runner = CommandRunner({"PATH": os.environ["PATH"]}, outputs=tmp_path / "outputs" / "chat")
    outcome = await runner.run("seq 20000", folder=tmp_path, timeout=20)
    assert (outcome.exit_code, "output in /" in outcome.output.text) == (0, False)
    await runner.close()


def test_a_file_has_a_limit(tmp_path: Path) -> None:
    file = OutputFile(tmp_path, limit=10)
    for _ in range(3):
        file.append("éé,")
    file.close()
    assert file.path is not None
    assert file.path.stat().st_size == 10
    assert not file.whole


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "1.txt").symlink_to(tmp_path / "elsewhere")
    file = OutputFile(tmp_path)
    file.append("text")
    file.close()
    assert file.path == tmp_path / "2.txt"
    assert not (tmp_path / "elsewhere").exists()


def test_old_files_and_those_beyond_the_limit_are_removed(tmp_path: Path) -> None:
    for name, size, age in (
        ("a/1.txt", 5, 20),
        ("b/1.txt", 300 << 20, 3),
        ("b/2.txt", 300 << 20, 2),
        ("c/1.txt", 5, 1),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
        os.utime(path, (1e9 - age * 86_400,) * 2)
    tidy_outputs(tmp_path, now=1e9)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["b", "b/2.txt", "c", "c/1.txt"]


def test_tidying_a_missing_folder_is_no_error(tmp_path: Path) -> None:
    tidy_outputs(tmp_path / "nowhere")
