"""The filter, run by a small interpreter, so that filters of other processors are tested, too."""

from __future__ import annotations

import struct
from errno import EAFNOSUPPORT, ENOSYS, EPERM

import pytest

from vmpilot.machine.sandbox import syscalls
from vmpilot.machine.sandbox.seccomp import supports, write_filter
from vmpilot.machine.sandbox.syscalls import PROCESSORS, Numbers

ALLOWED, KILLED = "allowed", "killed"
OPENAT: Numbers = (257, 56)
I386, ARM = 0x40000003, 0x40000028


def verdict(machine: str, call: int, *arguments: int, architecture: int | None = None, **kind: bool) -> int | str:
    """The filter's result: `allowed`, `killed`, or an error number."""
    architecture = PROCESSORS[machine].architecture if architecture is None else architecture
    six = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", call, architecture, 0, *six)
    code = write_filter(machine, **{"namespaces": True, **kind})
    steps: list[tuple[int, int, int, int]] = list(struct.iter_unpack("=HBBI", code))
    value = position = 0
    while True:
        operation, yes, no, operand = steps[position]
        position += 1
        match operation:
            case 0x20:
                (value,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                value &= operand
            case 0x15:
                position += yes if value == operand else no
            case 0x35:
                position += yes if value >= operand else no
            case 0x45:
                position += yes if value & operand else no
            case 0x06:
                names: dict[int, int | str] = {0x7FFF0000: ALLOWED, 0x80000000: KILLED}
                return names.get(operand, operand & 0xFFFF)
            case _:
                raise AssertionError(operation)


@pytest.fixture(params=list(PROCESSORS))
def machine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def number(machine: str, row: Numbers) -> int:
    found = row[PROCESSORS[machine].column]
    assert found is not None
    return found


def test_everyday_calls(machine: str) -> None:
    for call in (0, 1, 2, 3, number(machine, OPENAT)):
        assert verdict(machine, call) == ALLOWED


def test_refused_calls(machine: str) -> None:
    numbers = [row[PROCESSORS[machine].column] for row in syscalls.REFUSED.values()]
    assert {verdict(machine, call) for call in numbers if call is not None} == {EPERM}


def test_tables_name_each_call_once(machine: str) -> None:
    tables = (syscalls.REFUSED, syscalls.SHARED_MEMORY, syscalls.METADATA, syscalls.TIMES)
    single = (syscalls.CLONE, syscalls.CLONE3, syscalls.IOCTL, syscalls.MKNODAT, syscalls.SOCKET, syscalls.SOCKETPAIR)
    column = PROCESSORS[machine].column
    numbers = [row[column] for table in tables for row in table.values()] + [row[column] for row in single]
    known = [call for call in numbers if call is not None]
    assert len(known) == len(set(known))


@pytest.mark.parametrize("architecture", [I386, ARM, 0])
def test_other_architectures_end_the_process(machine: str, architecture: int) -> None:
    assert verdict(machine, 1, architecture=architecture) == KILLED


def test_x32_calls_are_refused() -> None:
    assert verdict("x86_64", 0x40000000 | 165) == ENOSYS


def test_clone(machine: str) -> None:
    clone = number(machine, syscalls.CLONE)
    assert verdict(machine, clone, 0x01200011) == ALLOWED  # fork
    assert verdict(machine, clone, 0x003D0F00) == ALLOWED  # a thread
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, clone, flag | 17) == EPERM
    assert verdict(machine, number(machine, syscalls.CLONE3)) == ENOSYS


def test_terminal_input(machine: str) -> None:
    ioctl = number(machine, syscalls.IOCTL)
    assert verdict(machine, ioctl, 0, 0x5401) == ALLOWED
    assert verdict(machine, ioctl, 0, 0x5412) == EPERM
    assert verdict(machine, ioctl, 0, 0x5412 | 1 << 32) == EPERM  # the kernel looks at 32 bits
    assert verdict(machine, ioctl, 0, 0x541C) == EPERM


def test_devices(machine: str) -> None:
    mknodat = number(machine, syscalls.MKNODAT)
    assert [verdict(machine, mknodat, 0, 0, kind | 0o600) for kind in (0, 0o010000, 0o100000)] == [ALLOWED] * 3
    assert [verdict(machine, mknodat, 0, 0, kind | 0o600) for kind in (0o020000, 0o060000)] == [EPERM] * 2


@pytest.mark.parametrize(
    ("family", "protocol", "expected"),
    [(2, 0, ALLOWED), (10, 0, ALLOWED), (16, 0, ALLOWED), (16, 12, EAFNOSUPPORT)]
    + [(family, 0, EAFNOSUPPORT) for family in (0, 1, 17, 29, 30, 31, 38, 40, 44)],
)
def test_sockets(machine: str, family: int, protocol: int, expected: int | str) -> None:
    socket = number(machine, syscalls.SOCKET)
    assert verdict(machine, socket, family, 1, protocol) == expected
    assert verdict(machine, socket, family, 1, protocol, namespaces=False) == EPERM


@pytest.mark.parametrize(
    ("kind", "expected"), [(1, ALLOWED), (5, ALLOWED), (2, EPERM), (3, EPERM), (1 | 0x80000, ALLOWED)]
)
def test_socket_pairs(machine: str, kind: int, expected: int | str) -> None:
    pair = number(machine, syscalls.SOCKETPAIR)
    assert verdict(machine, pair, 1, kind) == expected
    assert verdict(machine, pair, 2, kind) == EPERM


def test_more_is_refused_without_namespaces_or_mounts(machine: str) -> None:
    for table, kind in (
        (syscalls.SHARED_MEMORY, {"namespaces": False}),
        (syscalls.METADATA, {"keeps_metadata": True}),
        (syscalls.TIMES, {"keeps_times": True}),
    ):
        for row in table.values():
            call = row[PROCESSORS[machine].column]
            if call is not None:
                assert verdict(machine, call) == ALLOWED
                assert verdict(machine, call, **kind) == EPERM


def test_an_unknown_processor_is_not_supported() -> None:
    assert not supports("riscv64")
