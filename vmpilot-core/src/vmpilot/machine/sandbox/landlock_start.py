"""A program that confines itself by a plan, then becomes the command: `python -I -S landlock_start.py DESCRIPTOR`.

It imports little, and only the standard library. Any failure ends it before the command starts.
"""

import ctypes
import os
import resource
import sys

_SIGPIPE, _SIGXFSZ = 13, 25  # not from `signal`, whose import takes as long as the whole program
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
_PR_SET_SECCOMP = 22
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION = 0x20080522  # linux/capability.h
_INSTRUCTION = 8
_ON_ERROR_ABORT = 1
_ATTEMPTS = 5


class _Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class Plan:
    """What to do; encoded as fields separated by NUL, which none can contain."""

    def __init__(
        self,
        *,
        library: bytes,
        filter_code: bytes,
        readable: list[bytes],
        writable: list[bytes],
        program: bytes,
        arguments: list[bytes],
    ) -> None:
        self.library = library
        self.filter_code = filter_code
        self.readable = readable
        self.writable = writable
        self.program = program
        self.arguments = arguments

    def encode(self) -> bytes:
        counts = b"%d %d" % (len(self.readable), len(self.writable))
        head = (counts, self.library, self.filter_code.hex().encode(), self.program)
        return b"\0".join((*head, *self.readable, *self.writable, *self.arguments))

    @classmethod
    def decode(cls, data: bytes) -> "Plan":
        counts, library, code, program, *rest = data.split(b"\0")
        readable, writable = map(int, counts.split())
        return cls(
            library=library,
            filter_code=bytes.fromhex(code.decode()),
            program=program,
            readable=rest[:readable],
            writable=rest[readable : readable + writable],
            arguments=rest[readable + writable :],
        )


def main() -> None:
    """Confine, then become the command."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        plan = Plan.decode(file.read())
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if plan.library:
        _grant(plan)
    _drop_capabilities(libc)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (_SIGPIPE, _SIGXFSZ):  # Python ignores them, and the command would inherit that
        libc.signal(number, None)
    if plan.filter_code:
        _install_filter(libc, plan.filter_code)
    os.execv(plan.program, plan.arguments)  # noqa: S606


def _grant(plan: Plan) -> None:
    """Set up Landlock by the library's C interface (sandlock.h), which fails for paths that no longer exist."""
    library = ctypes.CDLL(os.fsdecode(plan.library))
    library.sandlock_confine.argtypes = (ctypes.c_void_p,)
    for _ in range(_ATTEMPTS):
        if library.sandlock_confine(_build(library, plan)) == 0:
            return
    sys.exit("vmpilot-sandbox: Landlock could not be set up (sandlock_confine failed)")


def _build(library: ctypes.CDLL, plan: Plan) -> ctypes.c_void_p:
    """A policy, from a builder that each call replaces."""
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    library.sandlock_sandbox_builder_new.restype = pointer
    builder = library.sandlock_sandbox_builder_new()
    for name, paths in (("fs_read", plan.readable), ("fs_write", plan.writable)):
        add = library[f"sandlock_sandbox_builder_{name}"]
        add.restype, add.argtypes = pointer, (pointer, text)
        for path in filter(os.path.exists, paths):
            builder = add(builder, path)
    end = library.sandlock_sandbox_builder_on_error
    end.restype, end.argtypes = pointer, (pointer, ctypes.c_uint8)
    builder = end(builder, _ON_ERROR_ABORT)
    error, message = ctypes.c_int(0), text()
    library.sandlock_sandbox_build.restype = pointer
    library.sandlock_sandbox_build.argtypes = (pointer, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(text))
    policy: ctypes.c_void_p = library.sandlock_sandbox_build(builder, ctypes.byref(error), ctypes.byref(message))
    if not policy or error.value:
        sys.exit(f"vmpilot-sandbox: sandlock refused the plan: {(message.value or b'').decode(errors='replace')}")
    return policy


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    capability = 0
    while libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) >= 0:
        if libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) == 1 and os.geteuid() == 0:
            _check(libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "capabilities")
        capability += 1
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _check(libc.capset(header, (ctypes.c_uint32 * 6)()), "capabilities")


def _install_filter(libc: ctypes.CDLL, code: bytes) -> None:
    program = _Program(len(code) // _INSTRUCTION, code)
    _check(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0), "seccomp")


def _check(result: int, what: str) -> None:
    if result != 0:
        sys.exit(f"vmpilot-sandbox: {what} could not be set up: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
