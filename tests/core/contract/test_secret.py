"""A secret that never prints."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable

import msgspec
import pytest

from vmpilot.contract import ModelSettings, Secret

VALUE = "sk-0123456789"
SECRET = Secret(VALUE)
SETTINGS = ModelSettings(api_key=SECRET)


@pytest.mark.parametrize("show", [str, repr, "{}".format, "%s".__mod__, ascii])
@pytest.mark.parametrize("holder", [SECRET, SETTINGS, [SECRET], {"key": SECRET}, ValueError(SECRET)])
def test_it_is_not_printed(show: Callable[[object], str], holder: object) -> None:
    assert VALUE not in show(holder)


@pytest.mark.parametrize(
    "write",
    [pickle.dumps, json.dumps, msgspec.json.encode, msgspec.msgpack.encode, copy.copy, copy.deepcopy],
)
def test_it_cannot_be_serialized(write: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as caught:
        write(SECRET)
    assert VALUE not in "".join(traceback.format_exception(caught.value))


def test_it_has_no_members_to_dump() -> None:
    assert not hasattr(SECRET, "__dict__")


def test_it_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("vmpilot.test").warning("with %s and %r", SECRET, SETTINGS)
    assert VALUE not in caplog.text


def test_its_value_can_be_read_explicitly() -> None:
    assert SECRET.reveal() == VALUE


def test_equal_secrets_are_equal() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert ModelSettings(api_key=Secret("a")) == ModelSettings(api_key=Secret("a"))
