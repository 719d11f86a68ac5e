"""Builds a seccomp filter (seccomp(2), struct sock_filter of linux/filter.h); it installs nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from errno import EAFNOSUPPORT, ENOSYS, EPERM

from vmpilot.machine.sandbox.syscalls import (
    CLONE,
    CLONE3,
    IOCTL,
    METADATA,
    MKNOD,
    MKNODAT,
    PROCESSORS,
    REFUSED,
    SHARED_MEMORY,
    SOCKET,
    SOCKETPAIR,
    TIMES,
    Numbers,
)

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_ALLOW = 0x7FFF0000
_ERROR = 0x00050000
_KILL = 0x80000000

_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_X32 = 0x40000000
_NEW_NAMESPACES = 0x7E020000  # the CLONE_NEW… of linux/sched.h that clone(2) takes
_TERMINAL_INPUT = (0x5412, 0x541C, 0x541D, 0x5423)  # TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _SEQPACKET, _SOCKET_TYPE = 1, 5, 0xF
_FILE_TYPE, _DEVICES = 0xF000, (0x2000, 0x6000)

Step = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand."""


def supports(machine: str) -> bool:
    """Whether there is a filter for this processor, by its name of uname(2)."""
    return machine in PROCESSORS


def write_filter(machine: str, *, namespaces: bool, keeps_metadata: bool = False, keeps_times: bool = False) -> bytes:
    """The filter for commands. Calls of another architecture (32 bits) end the process.

    `namespaces`: the sandbox has its own network and shared memory, so they may be used. `keeps_metadata`,
    `keeps_times`: modes, owners and attributes, or times, of files cannot be changed. Raises KeyError for an unknown
    processor.
    """
    processor = PROCESSORS[machine]

    def numbers(table: Iterable[Numbers]) -> list[int]:
        return [number for row in table if (number := row[processor.column]) is not None]

    steps = [*_check_architecture(processor.architecture)]
    steps += _refuse(numbers([CLONE3]), ENOSYS)  # its flags lie in memory; libraries then take clone(2)
    for table, wanted in (
        (REFUSED, True),
        (SHARED_MEMORY, not namespaces),
        (METADATA, keeps_metadata),
        (TIMES, keeps_times),
    ):
        steps += _refuse(numbers(table.values()) if wanted else (), EPERM)
    blocks: Mapping[Numbers, list[Step]] = {
        CLONE: _without_bits(0, _NEW_NAMESPACES),
        IOCTL: _without_values(1, _TERMINAL_INPUT),
        MKNOD: _without_devices(1),
        MKNODAT: _without_devices(2),
        SOCKET: _own_network() if namespaces else [_error(EPERM)],
        SOCKETPAIR: _connected_pairs(),
    }
    for row, block in blocks.items():
        for number in numbers([row]):
            steps += [(_EQUAL, 0, len(block), number), *block]
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, _allow()])


def _allow() -> Step:
    return (_RETURN, 0, 0, _ALLOW)


def _error(number: int) -> Step:
    return (_RETURN, 0, 0, _ERROR | number)


def _load_argument(index: int) -> Step:
    """The lower half: the kernel ignores the rest of these arguments."""
    return (_LOAD, 0, 0, 16 + 8 * index)


def _check_architecture(architecture: int) -> list[Step]:
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        _error(ENOSYS),
    ]


def _refuse(numbers: Iterable[int], error: int) -> list[Step]:
    return [step for number in numbers for step in ((_EQUAL, 0, 1, number), _error(error))]


def _without_bits(argument: int, bits: int) -> list[Step]:
    return [_load_argument(argument), (_ANY_BIT, 0, 1, bits), _error(EPERM), _allow()]


def _without_values(argument: int, values: Iterable[int]) -> list[Step]:
    return [_load_argument(argument), *_refuse(values, EPERM), _allow()]


def _without_devices(argument: int) -> list[Step]:
    return [_load_argument(argument), (_AND, 0, 0, _FILE_TYPE), *_refuse(_DEVICES, EPERM), _allow()]


def _own_network() -> list[Step]:
    """Internet sockets, which are in the sandbox's own network, and netlink routing for that network."""
    return [
        _load_argument(0),
        (_EQUAL, 5, 0, _INET),
        (_EQUAL, 4, 0, _INET6),
        (_EQUAL, 1, 0, _NETLINK),
        _error(EAFNOSUPPORT),
        _load_argument(2),
        (_EQUAL, 0, 1, 0),  # NETLINK_ROUTE
        _allow(),
        _error(EAFNOSUPPORT),
    ]


def _connected_pairs() -> list[Step]:
    """Only connected pairs: datagram sockets could be reconnected to another program's."""
    return [
        _load_argument(0),
        (_EQUAL, 0, 5, _UNIX),
        _load_argument(1),
        (_AND, 0, 0, _SOCKET_TYPE),
        (_EQUAL, 1, 0, _STREAM),
        (_EQUAL, 0, 1, _SEQPACKET),
        _allow(),
        _error(EPERM),
    ]
