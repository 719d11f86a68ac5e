"""The pause of the garbage collector ends with its block, and is not ended by one within it."""

from __future__ import annotations

import gc
import sys
from types import ModuleType

import pytest

from vmpilot.providers import paused_gc


def test_the_collector_rests_within_the_block_only() -> None:
    assert gc.isenabled()
    with paused_gc():
        with paused_gc():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failed_import_wakes_it() -> None:
    with pytest.raises(ImportError), paused_gc():
        raise ImportError
    assert gc.isenabled()


def test_only_what_was_imported_is_left_out_of_later_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    left_out = gc.get_freeze_count()
    with paused_gc():
        pass
    assert gc.get_freeze_count() == left_out
    with paused_gc():
        monkeypatch.setitem(sys.modules, "something_large", ModuleType("something_large"))
    try:
        assert gc.get_freeze_count() > left_out
    finally:
        gc.unfreeze()
