"""The conversation log with processes that compete, are killed, lack write permission, or fill the disk."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.core.store.conftest import WRITER, Place, open_when_free, read_line, start_writer
from tests.postgres_server import AS_NOBODY

from vmpilot.contract import Notice, UsageError
from vmpilot.store import ConversationStore


async def test_a_second_process_learns_who_writes_and_a_kill_releases_the_lease(
    place: Place, store: ConversationStore
) -> None:
    with start_writer(place) as writer:
        name = read_line(writer).split()[0]
        with pytest.raises(UsageError, match=f"Conversation {name} is in use by process {writer.pid} on "):
            await store.open(name)
        assert await store.events(name) == (Notice("0"),)  # reading needs no lease
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
        log = await open_when_free(store, name)
        assert await log.read() == (Notice("0"),)
        await log.append(Notice("1"))
        with start_writer(place, name=name) as second:
            assert read_line(second).startswith(
                f"UsageError Conversation {name} is in use by process {os.getpid()} on "
            )


async def test_a_kill_during_a_write_loses_no_acknowledged_entry(place: Place, store: ConversationStore) -> None:
    with start_writer(place, count=1_000_000, size=500) as writer:
        for _ in range(40):
            name, number = read_line(writer).split()
        writer.kill()
        assert writer.stdout is not None
        last = int((writer.stdout.read().split() or [number])[-1])
    log = await open_when_free(store, name)
    events = await log.read()
    assert len(events) in {last + 1, last + 2}
    assert events == tuple(Notice(f"{number}" + "x" * 500) for number in range(len(events)))
    await log.append(Notice("on"))


OPENERS = """
import os, sys
from pathlib import Path
from vmpilot.contract import Secret
from vmpilot.store._opening import open_database

go, gone = os.pipe()
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        os.close(gone)
        os.read(go, 1)
        open_database(Path(sys.argv[1]) / "conversations.db", Secret(sys.argv[2]) if sys.argv[2] else None).close()
        os._exit(0)
    children.append(child)
os.close(gone)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


async def test_many_processes_can_start_at_once(place: Place, store: ConversationStore) -> None:
    command = [sys.executable, "-c", OPENERS, os.fspath(place.folder), place.url or ""]
    ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert ran.stderr == ""
    assert ran.returncode == 0
    assert await store.list_chats() == ()


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A directory that every user can access."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder != Path("/") and folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(folder.stat().st_mode | 0o055)
    return tmp_path


def write_as_nobody(folder: Path, name: str = "") -> str:
    with start_writer(Place(folder, None), name=name, before=AS_NOBODY) as writer:
        return writer.communicate("end\n")[0].strip()


def test_a_directory_that_cannot_be_created(open_folder: Path) -> None:
    locked = open_folder / "locked"
    locked.mkdir(mode=0o555)
    assert write_as_nobody(locked / "data") == (
        f"UsageError Cannot write conversations to {locked}/data/conversations.db: Permission denied. "
        "Make it writable, or set VMPILOT_DATA_DIR."
    )


async def test_files_that_are_not_writable(open_folder: Path) -> None:
    data = open_folder / "data"
    store = ConversationStore(data)
    log = await store.create()
    await log.append(Notice("a"))
    await store.close()
    for path, mode in ((data / "conversations.db", 0o444), (data / "locks", 0o555), (data, 0o555)):
        path.chmod(mode)
    said = write_as_nobody(data, log.conversation_id)
    assert said.startswith("UsageError Cannot write conversations to "), said
    assert said.endswith("Make it writable, or set VMPILOT_DATA_DIR.")


async def test_locks_that_cannot_be_created(open_folder: Path) -> None:
    data = open_folder / "data"
    store = ConversationStore(data)
    log = await store.create()
    await log.append(Notice("a"))
    await store.close()
    for path in (data, data / "conversations.db", data / "locks" / "schema.lock"):
        path.chmod(0o777)
    (data / "locks").chmod(0o555)
    said = write_as_nobody(data, log.conversation_id)
    assert said.startswith(f"UsageError Cannot write conversations to {data}/locks"), said
    assert said.endswith("Permission denied. Make it writable, or set VMPILOT_DATA_DIR.")


def test_a_full_disk(tmp_path: Path) -> None:
    """Acknowledged entries stay readable, and the error says what to do."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    script = f"""
        mount -t tmpfs -o size=400k none {tmp_path} || exit 99
        {sys.executable} -c "$1" {tmp_path} "" "" 100000 2000
        cp {tmp_path}/conversations.db* "$2"
    """
    saved = tmp_path.parent / f"{tmp_path.name}-saved"
    saved.mkdir()
    ran = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script, "bash", WRITER, saved],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode == 99:
        pytest.skip("mounting is not permitted here")
    *written, error = ran.stdout.splitlines()
    assert error.startswith(f"StoreError The conversation log {tmp_path}/conversations.db cannot be used: "), ran
    assert error.endswith("Free some space or repair the file, then try again.")
    assert written
    with sqlite3.connect(saved / "conversations.db") as connection:
        assert connection.execute("SELECT max(number) FROM entries").fetchone() == (len(written),)


REFILLER = """
import asyncio, sys
from pathlib import Path
from vmpilot.contract import Notice, StoreError
from vmpilot.store import ConversationStore

async def main(folder):
    store, filler = ConversationStore(folder / "data"), folder / "filler"
    log = await store.create()
    written = 0
    for _ in range(3):
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        try:
            while True:
                await log.append(Notice(str(written) + " " * 2000))
                written += 1
        except StoreError as error:
            print(error)
        filler.unlink()
        await log.append(Notice(str(written)))
        written += 1
    events = await log.read()
    assert [event.text.strip() for event in events] == [str(number) for number in range(written)], events
    await log.close()
    await store.close()
    print("end", written)

asyncio.run(main(Path(sys.argv[1])))
"""


def test_the_store_recovers_when_the_disk_does(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    script = f'mount -t tmpfs -o size=2m none {tmp_path} || exit 99; {sys.executable} -c "$1" {tmp_path}'
    command = ["unshare", "--mount", "bash", "-c", script, "bash", REFILLER]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ran.returncode == 99:
        pytest.skip("mounting is not permitted here")
    assert ran.stderr == ""
    *errors, end = ran.stdout.splitlines()
    assert len(errors) == 3
    assert all("conversations.db cannot be used: " in error for error in errors), errors
    assert end.startswith("end ")
