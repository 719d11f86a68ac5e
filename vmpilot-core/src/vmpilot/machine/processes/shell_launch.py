"""Turns a command line into the arguments of a shell that records its last working folder; it starts nothing.

The record is a memory file that the shell inherits. It begins with a few lines that bash reads before the command
(BASH_ENV), so the command and its line numbers in error messages are unchanged; one of them is an EXIT trap that
appends the folder. It runs after `exit 3`, `set -e`, syntax errors and a fatal TERM; after `exec`, `kill -9 $$` or the
command's own EXIT trap there is no record, and the folder counts as unchanged.
"""

import fcntl
import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

_LONGEST_ARGUMENT = 100_000
"""Bytes; execve(2) refuses single arguments of 128 KiB and more."""
_LONGEST_PATH = 4_096
_MFD_NOEXEC_SEAL = 0x8  # linux/memfd.h
_NOTE_DESCRIPTORS_FROM = 500
"""Above the numbers that scripts use (3 to 9, 200)."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start: a program with its arguments, the name first, and descriptors to pass besides the streams."""

    program: str
    arguments: tuple[bytes, ...]
    descriptors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShellLaunch(Launch):
    """A shell with a command line; `variables` are added to its environment, the first descriptor is the note.

    `notice`, called when everything has ended, returns a sentence about what the command left behind, or None.
    """

    variables: Mapping[str, str]
    note_offset: int
    remark: str | None
    notice: Callable[[], str | None] | None = None

    @property
    def note(self) -> int:
        """The descriptor of the memory file."""
        return self.descriptors[0]

    def read_folder(self) -> Path | None:
        """The folder in which the shell ended, if it was recorded and still exists."""
        note = os.pread(self.note, _LONGEST_PATH + 2, self.note_offset)
        path = Path(os.fsdecode(note.removesuffix(b"\n").replace(b"\0", b"")))
        return path if path.is_absolute() and len(note) <= _LONGEST_PATH + 1 and path.is_dir() else None


def prepare_launch(command: str, environment: Mapping[str, str], *, resources: ExitStack) -> ShellLaunch:
    """Prepare a shell for `command`; the descriptors are closed with `resources`.

    Raises ValueError if the command cannot be passed to a shell, FileNotFoundError if there is no shell.
    """
    code = _encode_command(command)
    shell, is_bash = _find_shell(environment)
    note = _open_memory(resources)
    prelude = _write_prelude(note, environment, is_bash=is_bash)
    descriptors = [note]
    if len(code) > _LONGEST_ARGUMENT:
        script = _open_memory(resources)
        os.write(script, code)
        descriptors.append(script)
        code = b". /proc/self/fd/%d" % script
    return ShellLaunch(
        program=shell,
        arguments=(b"bash" if is_bash else b"sh", b"-c", code if is_bash else prelude + code),
        variables={"BASH_ENV": f"/proc/self/fd/{note}"} if is_bash else {},
        descriptors=tuple(descriptors),
        note_offset=len(prelude),
        remark=None if is_bash else f"bash was not found, so {shell} ran this; only POSIX sh syntax works",
    )


def _encode_command(command: str) -> bytes:
    if "\0" in command:
        raise ValueError("The command contains a NUL character, which no shell accepts; write it as \\0 with printf.")
    try:
        return command.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            "The command contains half of a surrogate pair, which is not valid text; remove it."
        ) from error


def _find_shell(environment: Mapping[str, str]) -> tuple[str, bool]:
    path = environment.get("PATH", os.defpath)
    if bash := shutil.which("bash", path=path):
        return bash, True
    if sh := shutil.which("sh", path=path):
        return sh, False
    raise FileNotFoundError(f"Neither bash nor sh was found on the PATH ({path}); install bash or fix the PATH.")


def _open_memory(resources: ExitStack) -> int:
    try:
        low = os.memfd_create("vmpilot", os.MFD_CLOEXEC)
    except PermissionError:  # vm.memfd_noexec=2
        low = os.memfd_create("vmpilot", os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
    try:
        descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _NOTE_DESCRIPTORS_FROM)
    except OSError:  # the limit on descriptors is lower
        resources.callback(os.close, low)
        return low
    os.close(low)
    resources.callback(os.close, descriptor)
    return descriptor


def _write_prelude(note: int, environment: Mapping[str, str], *, is_bash: bool) -> bytes:
    lines: list[str] = []
    if is_bash and (original := environment.get("BASH_ENV")):
        lines.append(f'BASH_ENV={shlex.quote(original)}; if [ -r "$BASH_ENV" ]; then . "$BASH_ENV"; fi')
    elif is_bash:
        lines.append("unset BASH_ENV")
    target = f">&{note}" if is_bash else f">>/proc/self/fd/{note}"  # dash has no descriptors above 9
    lines.append(f"trap '{{ command pwd -P {target}; }} 2>/dev/null || :' EXIT")
    prelude = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
    os.write(note, prelude)
    return prelude
