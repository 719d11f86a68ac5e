"""`vmpilot cache stats` and `clear`, with real answers."""

from __future__ import annotations

import json

import pytest
from tests.redis_server import QUOTED_PASSWORD, RedisServer, redis, running_redis

from vmpilot.testing import Reply, ScriptedServer

from .conftest import Here

__all__ = ["redis", "running_redis"]


@pytest.fixture(params=["disk", "redis"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The value of the setting, which is also set as a variable."""
    setting = "disk" if request.param == "disk" else request.getfixturevalue("redis").url
    monkeypatch.setenv("VMPILOT_CACHE", setting)
    return str(setting)


def ask(here: Here, server: ScriptedServer, *options: str) -> tuple[str, str]:
    ran = here(*options, "say it", server=server)
    assert ran.code == 0, ran.err
    return ran.out, ran.err


def test_a_repeated_request_is_answered_from_the_cache(here: Here, place: str) -> None:
    with ScriptedServer([Reply("One wombat.")]) as server:
        assert ask(here, server, "-t", "0") == ("One wombat.\n", "")
        said, told = ask(here, server, "-t", "0")
        assert len(server.requests) == 1
    assert said == "One wombat.\n"
    assert told == "Answered from the cache at no cost: the same request was made before.\n"
    text = here("cache", "stats").out
    assert text.startswith("1 answer in the cache in ")
    assert text.endswith(" kB of 200.0 MB\n1 hit in 2 lookups\n")
    stats = json.loads(here("cache", "stats", "--output", "json").out)
    assert (stats["entries"], stats["hits"], stats["misses"], stats["limit_bytes"]) == (1, 1, 1, 200_000_000)
    assert QUOTED_PASSWORD not in text + stats["cache"] + stats["place"]
    assert here("cache", "clear").out.startswith("Deleted 1 answer from the cache in ")
    assert json.loads(here("cache", "clear", "--output", "json").out)["deleted"] == 0


@pytest.mark.parametrize("options", [(), ("-t", "0.5")])
def test_a_temperature_that_prevents_caching_is_reported(
    here: Here, monkeypatch: pytest.MonkeyPatch, options: tuple[str]
) -> None:
    monkeypatch.setenv("VMPILOT_CACHE", "disk")
    with ScriptedServer([Reply("One."), Reply("Two.")]) as server:
        for number in ("One.\n", "Two.\n"):
            said, told = ask(here, server, *options)
            assert said == number
            assert told.startswith("vmpilot: The cache is not used, because the temperature is not 0. Add -t 0")
    assert here("cache", "stats").out.startswith("0 answers in ")


def test_stats_show_the_disk_cache_while_the_cache_is_off(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMPILOT_CACHE", "disk")
    with ScriptedServer([Reply("One.")]) as server:
        ask(here, server, "-t", "0")
    monkeypatch.setenv("VMPILOT_CACHE", "off")
    shown = here("cache", "stats").out.splitlines()
    assert shown[0].startswith("1 answer in the cache in ")
    assert (
        shown[2] == 'The cache is off. Set cache = "disk" in your configuration file to reuse answers at temperature 0.'
    )
    assert here("cache", "clear").out.startswith("Deleted 1 answer from ")


@pytest.mark.parametrize("action", ["stats", "clear"])
def test_a_redis_that_cannot_be_reached_is_an_error_here(
    here: Here, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    monkeypatch.setenv("VMPILOT_CACHE", f"unix://:wrong-{QUOTED_PASSWORD}@{redis.folder}/socket")
    ran = here("cache", action)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"vmpilot: the cache in unix://{redis.folder}/socket rejects the user or the password\n"


def test_a_request_is_answered_without_its_redis(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMPILOT_CACHE", "unix:///nowhere/redis.sock")
    with ScriptedServer([Reply("One.")]) as server:
        said, told = ask(here, server, "-t", "0")
    assert said == "One.\n"
    assert told.startswith(
        "The cache is off for the rest of this request: the cache in unix:///nowhere/redis.sock cannot be used"
    )
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("words", [("cache",), ("cache", "empty")])
def test_unknown_actions(here: Here, words: tuple[str, ...]) -> None:
    ran = here(*words)
    assert ran.code == 2
    assert ran.err.startswith("usage: vmpilot cache [options] ACTION …\nvmpilot cache: error: ")
