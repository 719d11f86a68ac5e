"""Each layer of the sandboxes alone, because another layer could hide that one does not work."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from vmpilot.machine.sandbox import Sandbox
from vmpilot.machine.sandbox.bubblewrap import Bubblewrap
from vmpilot.machine.sandbox.engine import Engine
from vmpilot.machine.sandbox.escape_tests import probe_escapes
from vmpilot.machine.sandbox.hidden_paths import HiddenPaths
from vmpilot.machine.sandbox.sandlock import Sandlock

from .conftest import As, miss

FILES = {
    *("write-outside", "create-outside", "write-home", "write-etc", "git-hook", "git-nested", "git-replaced"),
    *("project-file", "symbolic-link", "hard-link", "secrets", "sysfs", "sysctl", "control-groups", "devices"),
}
OTHERS = {"environment", "signal", "process-root", "abstract-socket"}
NAMESPACES = (
    FILES
    | OTHERS
    | {
        *("mode", "times", "see-processes", "loopback", "network", "shared-memory", "descriptors", "setuid"),
    }
)
PRIVILEGES = {
    *("capabilities", "remount", "mount", "unmount", "change-root", "pivot-root", "make-device", "kernel-log"),
    *("host-name", "user-namespace"),
}
FILTER = {
    *("remount", "mount", "mount-interface", "unmount", "change-root", "pivot-root", "make-device", "user-namespace"),
    *("clone3", "enter-namespace", "trace", "process-memory", "abstract-socket", "path-socket", "datagram-pair"),
    *("vsock", "kernel-crypto", "terminal-input", "terminal-filter", "io-uring", "bpf", "perf", "userfaultfd", "keys"),
    *("file-handles", "kernel-module", "kernel-log", "host-name", "32-bit-calls", "x32-calls"),
}
NO_NETWORK = {"loopback", "network", "shared-memory", "mode"}
"""Probes that the filter also blocks without namespaces."""


def blocked(engine: Engine, as_user: As, probes: Collection[str], own: HiddenPaths) -> set[str]:
    sandbox = Sandbox(as_user.engine(engine), own)
    findings = as_user(lambda: probe_escapes(sandbox, "workspace", python=as_user.python, probes=probes))
    return {finding.probe for finding in findings if finding.verdict == "blocked"}


def test_namespaces_without_a_filter(bubblewrap: Bubblewrap, as_user: As, own: HiddenPaths) -> None:
    probes = NAMESPACES | PRIVILEGES
    assert blocked(replace(bubblewrap, filters=False), as_user, probes, own) == probes


def test_a_filter_in_namespaces_with_roots_privileges(bubblewrap: Bubblewrap, own: HiddenPaths) -> None:
    if os.geteuid() != 0:
        miss("only root has rights to leave")
    probes = FILTER | NAMESPACES
    root = As("root", sys.executable)
    assert blocked(replace(bubblewrap, privileges=("--cap-add", "ALL")), root, probes, own) == probes


@pytest.mark.parametrize(
    ("layer", "held"),
    [
        ({}, False),
        ({"filters": True}, True),
        ({"privileges": ("--cap-drop", "ALL")}, True),
        ({"namespaces": ("--unshare-all", "--unshare-user", "--disable-userns")}, True),
    ],
    ids=["none", "filter", "no capabilities", "no user namespaces"],
)
def test_capabilities_keep_root_from_undoing_the_mounts(
    bubblewrap: Bubblewrap, layer: dict[str, Any], held: bool, own: HiddenPaths
) -> None:
    if os.geteuid() != 0:
        miss("only root has rights to keep")
    namespaces = ("--unshare-all", "--unshare-user")
    bare = replace(bubblewrap, filters=False, privileges=("--cap-add", "ALL"), namespaces=namespaces)
    assert ("remount" in blocked(replace(bare, **layer), As("root", sys.executable), {"remount"}, own)) == held


def test_the_filter_alone(sandlock: Sandlock, as_user: As, own: HiddenPaths) -> None:
    probes = FILTER | NO_NETWORK
    assert blocked(replace(sandlock, landlock=False), as_user, probes, own) == probes


def test_landlock_alone(sandlock: Sandlock, as_user: As, own: HiddenPaths) -> None:
    probes = FILES | OTHERS | {"capabilities", "setuid"}
    assert blocked(replace(sandlock, filters=False), as_user, probes, own) == probes
