"""Caches that fail: one line for the user, at most a second, and the model is asked as without a cache."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from tests.redis_server import PASSWORD, QUOTED_PASSWORD, RedisServer

from vmpilot.cache import AnswerCache, CacheError, CacheStats, Origin, TurnCache, open_cache
from vmpilot.cache._turn_cache import FROM_CACHE, PATIENCE
from vmpilot.config import read_cache_place
from vmpilot.contract import BackendEvent, Notice, TextDelta

from .conftest import BECAUSE, Turns, key_of, make_call

Told = Callable[..., Any]


@asynccontextmanager
async def opened(place: str, folder: Path = Path("/nowhere")) -> AsyncIterator[AnswerCache]:
    cache = open_cache(read_cache_place(place), folder=folder, megabytes=1)
    assert cache is not None
    try:
        yield cache
    finally:
        await cache.close()


async def trouble_of(cache: AnswerCache, *, calls: int = 3) -> str:
    """The notices of one turn in which the cache fails; the turn is still answered, and soon."""
    turns = Turns(cache)
    turn = TurnCache(cache, Origin("engine 1"))
    events: list[BackendEvent] = []
    async with asyncio.timeout(PATIENCE + 60):  # rather than hang
        for number in range(calls):
            events += await turns.go_on(turn, make_call(str(number)))
    assert [event for event in events if not isinstance(event, Notice)] == [TextDelta("Because."), BECAUSE] * calls
    assert len(turns.model.asked) == calls
    (notice,) = [event.text for event in events if isinstance(event, Notice)]
    assert PASSWORD not in notice
    assert QUOTED_PASSWORD not in notice
    assert notice.startswith("The cache is off for the rest of this request: the cache in ")
    return notice


def a_socket() -> socket.socket:
    """A server on loopback that accepts connections and never replies."""
    return socket.create_server(("127.0.0.1", 0))


async def test_an_unreachable_redis() -> None:
    with a_socket() as listening:
        port = listening.getsockname()[1]
    async with opened(f"redis://:{QUOTED_PASSWORD}@127.0.0.1:{port}/0") as cache:
        told = await trouble_of(cache)
    assert f"the cache in redis://127.0.0.1:{port}/0 cannot be used (" in told


async def test_an_unresponsive_redis_costs_one_second_in_total() -> None:
    with a_socket() as listening:
        async with opened(f"redis://127.0.0.1:{listening.getsockname()[1]}") as cache:
            started = time.monotonic()
            assert (await trouble_of(cache)).endswith("is too slow.")
            assert time.monotonic() - started >= PATIENCE


async def test_a_redis_that_is_slow_temporarily(redis: RedisServer) -> None:
    async with opened(redis.url) as cache:
        turns = Turns(cache)
        await turns.ask(make_call("0"))
        redis.ask("CLIENT", "PAUSE", "1500")
        assert (await trouble_of(cache, calls=2)).endswith("is too slow.")
        await cache.stats()  # wait for the end of the pause
        turns.model.asked.clear()
        assert Notice(FROM_CACHE) in await turns.ask(make_call("0"))
        assert turns.model.asked == []


async def test_a_slow_cache_costs_one_second_in_total() -> None:
    class Slow:
        place = "the cache in slowness"
        uses = 0

        async def prepare(self) -> None:
            pass

        async def get(self, name: str) -> None:
            self.uses += 1
            await asyncio.sleep(0.3)

        async def put(self, name: str, entry: bytes) -> None:
            await self.get(name)

        async def stats(self) -> CacheStats:
            return CacheStats()

        async def clear(self) -> int:
            return 0

        async def close(self) -> None:
            pass

    cache = Slow()
    assert (await trouble_of(cache, calls=20)).endswith("the cache in slowness is too slow.")
    assert cache.uses <= 4


async def test_a_wrong_password(redis: RedisServer) -> None:
    async with opened(f"unix://:wrong@{redis.folder}/socket") as cache:
        assert "rejects the user or the password" in await trouble_of(cache)


async def test_a_missing_password(redis: RedisServer) -> None:
    async with opened(f"unix://{redis.folder}/socket") as cache:
        assert "rejects the user or the password" in await trouble_of(cache)


async def test_a_redis_without_free_memory_still_answers(redis: RedisServer) -> None:
    async with opened(redis.url) as cache:
        await Turns(cache).ask()
        redis.ask("CONFIG", "SET", "maxmemory", "1")
        found = Turns(cache)
        await found.ask()
        assert found.model.asked == []
        assert "is out of memory" in await trouble_of(cache)


async def test_a_redis_that_restarts(redis: RedisServer, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with opened(server.url) as cache:
            turns = Turns(cache)
            await turns.ask()
            server.kill()
            await trouble_of(cache)
            server.start()
            await turns.ask()
            await turns.ask()
            assert len(turns.model.asked) == 2  # it stores nothing on disk
    finally:
        server.kill()


@pytest.mark.parametrize("option", ["db=many", "no_such_option=1", "protocol=9"])
async def test_an_address_with_an_unknown_option(redis: RedisServer, option: str) -> None:
    async with opened(f"{redis.url}?{option}") as cache:
        assert "cannot be used (" in await trouble_of(cache)


async def test_a_foreign_value_under_our_key(redis: RedisServer) -> None:
    async with opened(redis.url) as cache:
        turns = Turns(cache)
        key = key_of(make_call())
        redis.ask("RPUSH", f"vmpilot:{{answers:1}}:entry:{key.name}", "foreign")
        for _ in range(2):
            await turns.ask()
        assert len(turns.model.asked) == 1


async def test_keys_of_other_programs_are_left_alone(redis: RedisServer) -> None:
    redis.ask("SET", "vmpilot:other", "1")
    async with opened(redis.url) as cache:
        await Turns(cache).ask()
        assert await cache.clear() == 1
    assert redis.ask("KEYS", "*").splitlines()[-1] == "vmpilot:other"


async def test_unused_entries_expire(redis: RedisServer) -> None:
    async with opened(redis.url) as cache:
        await Turns(cache).ask()
        await Turns(cache).ask()
    keys = [line for line in redis.ask("KEYS", "*").splitlines() if line.startswith("vmpilot:")]
    assert len(keys) == 4
    for key in keys:
        assert int(redis.ask("TTL", key).splitlines()[-1].removeprefix(":")) > 29 * 24 * 3600


async def test_entries_evicted_by_the_server_are_not_counted(redis: RedisServer) -> None:
    async with opened(redis.url) as cache:
        for name in ("a", "b"):
            await cache.put(name, b"1")
        redis.ask("DEL", "vmpilot:{answers:1}:entry:a")
        assert (await cache.stats()).entries == 1


@pytest.mark.parametrize("lost", ["used", "sizes", "facts"])
async def test_a_server_that_evicted_part_of_the_bookkeeping(redis: RedisServer, lost: str) -> None:
    async with opened(redis.url) as cache:
        for number in range(15):
            await cache.put(f"before {number}", b"x" * 50_000)
        redis.ask("DEL", f"vmpilot:{{answers:1}}:{lost}")
        for number in range(60):
            await cache.put(f"after {number}", b"x" * 50_000)
            assert await cache.get(f"after {number}") is not None
        assert (await cache.stats()).bytes < 2_000_000
        await cache.clear()
        assert redis.ask("KEYS", "*").splitlines()[0] == "*0"


async def test_a_directory_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with opened("disk", tmp_path / "file" / "answers") as cache:
        assert "(Not a directory)" in await trouble_of(cache)


async def test_a_damaged_file(tmp_path: Path) -> None:
    async with opened("disk", tmp_path) as cache:
        await Turns(cache).ask()
    (tmp_path / "answers.db").write_bytes(b"no database" * 1000)
    async with opened("disk", tmp_path) as cache:
        assert (await trouble_of(cache)).endswith("; `vmpilot cache clear` replaces it.")
        with pytest.raises(CacheError):
            await cache.stats()
        assert await cache.clear() == 0
        turns = Turns(cache)
        for _ in range(2):
            await turns.ask()
        assert len(turns.model.asked) == 1


async def test_a_file_of_another_version_is_replaced(tmp_path: Path) -> None:
    async with opened("disk", tmp_path) as cache:
        await Turns(cache).ask()
    with closing(sqlite3.connect(tmp_path / "answers.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    async with opened("disk", tmp_path) as cache:
        turns = Turns(cache)
        await turns.ask()
        assert len(turns.model.asked) == 1


async def test_a_locked_file(tmp_path: Path) -> None:
    async with opened("disk", tmp_path) as cache:
        await Turns(cache).ask()
        with closing(sqlite3.connect(tmp_path / "answers.db", isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            found = Turns(cache)
            await found.ask()
            assert found.model.asked == []
            await trouble_of(cache)


FULL = """
import asyncio, resource, sys
from pathlib import Path
from tests.core.cache.conftest import Turns, make_call
from vmpilot.cache import open_cache
from vmpilot.config import read_cache_place
from vmpilot.contract import AssistantMessage, MessageCompleted, Notice

async def main():
    cache = open_cache(read_cache_place("disk"), folder=Path(sys.argv[1]), megabytes=100)
    turns = Turns(cache)
    await turns.ask()
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
    turns.model.answer = MessageCompleted(AssistantMessage("x" * 500_000))
    told = await turns.ask(make_call("long"))
    print([event.text for event in told if isinstance(event, Notice)])
    await turns.ask()
    print(len(turns.model.asked))
    await cache.close()

asyncio.run(main())
"""


def test_a_full_disk(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", FULL, str(tmp_path / "answers")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    told, asked = ran.stdout.splitlines()
    assert "cannot be used (" in told
    assert asked == "2"  # earlier entries are still found


CLEARED = """
import asyncio, resource, sys
from pathlib import Path
from tests.core.cache.conftest import Turns
from vmpilot.cache import open_cache
from vmpilot.config import read_cache_place

async def main():
    cache = open_cache(read_cache_place("disk"), folder=Path(sys.argv[1]), megabytes=100)
    await Turns(cache).ask()
    await cache.close()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    await cache.clear()
    await cache.close()

asyncio.run(main())
"""


def test_a_full_disk_can_be_cleared(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", CLEARED, str(tmp_path / "answers")], env=environment, check=True)
    assert list((tmp_path / "answers").iterdir()) == []


async def test_the_folder_is_accessible_to_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    folder.chmod(0o755)
    async with opened("disk", folder) as cache:
        await Turns(cache).ask()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


async def test_reading_a_missing_cache_does_not_create_it(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    async with opened("disk", folder) as cache:
        assert await cache.stats() == CacheStats()
        assert await cache.clear() == 0
    assert not folder.exists()


PROCESS = """
import asyncio, sys
from pathlib import Path
from vmpilot.cache import CacheError, open_cache
from vmpilot.config import read_cache_place

async def main():
    cache = open_cache(read_cache_place("disk"), folder=Path(sys.argv[1]), megabytes=1)
    sys.stdin.readline()
    for number in range(50):
        name, entry = f"{sys.argv[2]} {number}", bytes([number]) * 10_000
        try:
            await cache.put(name, entry)
            assert await cache.get(name) in (entry, None)
        except CacheError as error:  # a machine under load
            assert "locked" in str(error)
    await cache.close()

asyncio.run(main())
"""


async def test_processes_that_create_the_cache_at_once(tmp_path: Path) -> None:
    def start(number: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROCESS, str(tmp_path / "answers"), str(number)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    processes = [start(number) for number in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0)] * 4
    async with opened("disk", tmp_path / "answers") as cache:
        stats = await cache.stats()
    assert 0 < stats.bytes <= 1_000_000
    assert stats.hits > 0
    with closing(sqlite3.connect(tmp_path / "answers" / "answers.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
