"""The pause of the garbage collector ends with its block, and not with a nested one."""

from __future__ import annotations

import gc
import sys
from types import ModuleType

import pytest

from vmpilot.providers import paused_gc


def test_the_collector_is_paused_only_within_the_block() -> None:
    assert gc.isenabled()
    with paused_gc():
        with paused_gc():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failed_import_resumes_collection() -> None:
    with pytest.raises(ImportError), paused_gc():
        raise ImportError
    assert gc.isenabled()


def test_only_imported_objects_are_excluded_from_later_collections(monkeypatch: pytest.MonkeyPatch) -> None:
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
