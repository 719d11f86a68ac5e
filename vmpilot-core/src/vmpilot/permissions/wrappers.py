"""Programs that run another command from their arguments, and shells that get one as text.

For rules that deny or ask: they also apply to what may be behind a wrapper. It approves nothing.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from vmpilot.permissions.command_spec import word_set


class Hole(enum.Enum):
    """A part of a command that is only known at run time: `ONE` word, a `NUMBER`, or `MANY` words (or none)."""

    ONE = enum.auto()
    NUMBER = enum.auto()
    MANY = enum.auto()


Argv: TypeAlias = tuple[str | Hole, ...]
"""The words of a command."""

Shell: TypeAlias = Literal["bash", "sh"]
"""The shell that runs a script. `sh` may be dash, busybox or bash."""

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_VERSION = re.compile(r"[\d.]+$")
_EXPORTED = re.compile(
    r"(?!npm_config)[a-z][a-z0-9_]*|IFS|TZ|CI|DEBUG|VERBOSE|NO_COLOR|FORCE_COLOR|CLICOLOR|NODE_ENV"
    r"|COLUMNS|LINES|DEBIAN_FRONTEND|PYTHONUNBUFFERED|PYTHONDONTWRITEBYTECODE"
)
_LOCALE = re.compile(r"LANG|LANGUAGE|LC_[A-Z]+")
_PLAIN_LOCALE = re.compile(r"|C|POSIX|[A-Za-z_]+\.(?:UTF-?8|utf-?8)")
_SPECIAL_NAME = re.compile(
    r"(?:BASH|COMP|COPROC|DIRSTACK|EMACS|ENV$|EPOCH|EUID|EXECIGNORE|FCEDIT|FIGNORE|FUNC|GLOB|GROUPS|HIST|HOME|HOST|IGNORE"
    r"|INPUTRC|INSIDE_|LINENO|MACHTYPE|MAIL|MAPFILE|OLDPWD|OPT|OSTYPE|PATH|PIPESTATUS|POSIX|PPID|PROMPT|PS|PWD|RANDOM"
    r"|READLINE|REPLY|SECONDS|SHELL|SHLVL|SRANDOM|TIMEFORMAT|TMOUT|TMPDIR|UID|CDPATH|CHILD_MAX|auto_resume|histchars"
    r"|GIT|LANG|LC_|LD_|LESS|PAGER|EDITOR|VISUAL|BROWSER|SSH|RSYNC|TAR|TAPE|PYTHON|PERL|NODE|RUBY|JAVA|_JAVA|JDK|MAN|SUDO|GREP"
    r"|RIPGREP|CURL|WGET|OPENSSL|SSL|GCONV|XDG|MAKE|CC$|CXX|LOC|NLS|MALLOC|GLIBC|GPG|ZIP|UNZIP|XZ|GZIP|DIFF|SORT|JQ|TERM"
    r"|TEXTDOMAIN|HTTP|ALL_PROXY|NO_PROXY|DOCKER|KUBE|VIRTUAL_ENV|CONDA|NPM|YARN|CARGO|RUST|GO|AWK|POSIXLY|SYSTEMD|DBUS|DISPLAY)"
)


def may_export(name: str, value: str | None = None) -> bool:
    """Whether this variable may be exported: no program known here runs anything because of it.

    `value` is None if it is not known; another character set could change how bash parses the rest of a line.
    """
    if _LOCALE.fullmatch(name):
        return value is not None and _PLAIN_LOCALE.fullmatch(value) is not None
    return _EXPORTED.fullmatch(name) is not None


def may_assign(name: str, value: str | None = None) -> bool:
    """Whether bash only stores the variable, and programs do not get it or may get it."""
    if may_export(name, value):
        return True
    return re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) is not None and not _SPECIAL_NAME.match(name)


@dataclass(frozen=True, slots=True)
class _Wrapper:
    """`valued` options have a value, attached or as the next word; `flags` have none; `operands` precede the command.

    `alone`: without a command it runs nothing; others then start a shell. `sees_same`: the command runs with the same
    files, so a program's name means the same as elsewhere.
    """

    valued: str = ""
    flags: str = ""
    _: KW_ONLY
    operands: int = 0
    assignments: bool = False
    alone: bool = False
    sees_same: bool = True

    def has(self, option: str, *, valued: bool) -> bool:
        """Whether it is one of its options."""
        return option in (self.valued if valued else self.flags).split()


WRAPPERS: Mapping[str, _Wrapper] = {
    "builtin": _Wrapper(alone=True),
    "busybox": _Wrapper(),
    "chroot": _Wrapper(operands=1, sees_same=False),
    "chrt": _Wrapper(operands=1),
    "command": _Wrapper(flags="-p", alone=True),
    "coproc": _Wrapper(sees_same=False),
    "doas": _Wrapper("-u -C", "-n", assignments=True),
    "env": _Wrapper("-u --unset -C --chdir", "-i --ignore-environment", assignments=True, alone=True),
    # Not -a: a multi-call program, such as busybox, goes by the name that it gets there.
    "exec": _Wrapper(flags="-c -l", alone=True),
    "fakeroot": _Wrapper(),
    "flock": _Wrapper("-w -E", "-n -x -s -e -o", operands=1),
    "ionice": _Wrapper("-c -n", "-t", alone=True),
    "nice": _Wrapper("-n", alone=True),
    "nohup": _Wrapper(alone=True),
    "nsenter": _Wrapper("-t", sees_same=False),
    "setsid": _Wrapper(flags="-w -f -c"),
    "stdbuf": _Wrapper("-i -o -e"),
    "strace": _Wrapper("-e -s", "-f -c"),
    "sudo": _Wrapper("-u -g -h -p -C -r -t -D -T -U --user --group --chdir", "-n -E -H -S -k -b", assignments=True),
    "systemd-run": _Wrapper("-p -u --unit", sees_same=False),
    "taskset": _Wrapper(flags="-c", operands=1),
    "time": _Wrapper("-f -o", "-p -v -a", alone=True),
    "timeout": _Wrapper("-s -k --signal --kill-after", "-v --foreground --preserve-status", operands=1),
    "toybox": _Wrapper(),
    "unshare": _Wrapper(sees_same=False),
    "watch": _Wrapper("-n", sees_same=False),
    "xargs": _Wrapper(
        "-I -n -P -L -d -a -s -E --max-args --max-procs --delimiter --arg-file",
        "-0 -r -t -x --null --no-run-if-empty --verbose",
        alone=True,
    ),
}

_GREP_SCRIPTS = frozenset({"egrep", "fgrep"})
SHELLS = frozenset({"ash", "bash", "dash", "fish", "ksh", "mksh", "rbash", "sh", "zsh"})
_READABLE_SHELLS: Mapping[str, Shell] = {"ash": "sh", "bash": "bash", "dash": "sh", "sh": "sh"}
INTERPRETERS = word_set(
    "awk bun deno ed emacs ex expect gawk gdb guile irb java jshell julia lua luajit m4 mawk mysql nawk node nodejs "
    "nvim osascript perl php psql pwsh pypy python r rscript ruby sed sqlite tclsh vi vim wish"
)
_CODE_OPTIONS = re.compile(r"-[A-Za-z]*[ceErpBR]|--(?:eval|command|print|execute|run|expression)(?:=.*)?", re.DOTALL)
_STREAM = re.compile(r"-|/dev/(?:stdin|fd/.*)|/proc/.*")
_REPLACING = re.compile(r"-[0rtx]*I(.*)", re.DOTALL)
_PLAIN_SHELL_OPTION = re.compile(r"-[celuxfv]+|--|--norc|--noprofile|--login")
_NUMBER_OPTION = re.compile(r"-\d+")


def program_name(word: str) -> str:
    """`/usr/bin/python3.11` is python: the name without folder and version."""
    name = word.rsplit("/", 1)[-1]
    return _VERSION.sub("", name).rstrip("-") or name


def name_of(argv: Argv) -> str:
    """The program's name; empty if only the shell knows it."""
    return program_name(argv[0]) if isinstance(argv[0], str) else ""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """The command that a wrapper runs, if any; `certain` is False if it might run another."""

    command: Argv | None
    certain: bool


def wrapped_command(argv: Argv) -> Wrapped | None:
    """The command of a wrapper, as far as its options are known; None if the program is not a wrapper."""
    name = name_of(argv)
    if name in _GREP_SCRIPTS:
        return Wrapped(("grep", *argv[1:]), certain=True)
    wrapper = WRAPPERS.get(name)
    if wrapper is None:
        return None
    if name == "command" and len(argv) > 1 and argv[1] in {"-v", "-V"}:
        return Wrapped(None, certain=True)
    position, certain = _skip_options(wrapper, argv)
    command = argv[position:] or None
    if command is None:
        return Wrapped(None, certain=certain and wrapper.alone)
    if name == "xargs":
        options = argv[1:position]
        for word, following in zip(options, (*options[1:], ""), strict=False):
            if isinstance(word, str) and (match := _REPLACING.fullmatch(word)):  # -I: a mark that the input replaces
                command = _fill(command, match[1] or (following if isinstance(following, str) else ""))
        command = (*command, Hole.MANY)
    return Wrapped(command, certain=certain and wrapper.sees_same)


def _skip_options(wrapper: _Wrapper, argv: Argv) -> tuple[int, bool]:
    """Where the command begins, and whether everything before it is known."""
    position, operands, certain, options = 1, wrapper.operands, True, True
    while position < len(argv):
        word = argv[position]
        if isinstance(word, Hole):
            return position, False
        if options and word.startswith("-") and len(word) > 1:
            options = word != "--"
            size = _option_size(wrapper, word)
            certain &= size > 0 or not options
            position += max(size, 1) if options else 1
        elif wrapper.assignments and (assignment := _ASSIGNMENT.fullmatch(word)):
            certain &= may_export(assignment[1], assignment[2])
            position += 1
        elif operands:
            position, operands = position + 1, operands - 1
        else:
            break
    return position, certain and not operands


def _option_size(wrapper: _Wrapper, word: str) -> int:
    """How many words the option takes; 0 if it is not known."""
    name, equals, _ = word.partition("=")
    if wrapper.has(word, valued=False) or (equals and wrapper.has(name, valued=True)) or _NUMBER_OPTION.fullmatch(word):
        return 1
    if wrapper.has(word, valued=True):
        return 2
    if word.startswith("--"):
        return 0
    for position, letter in enumerate(word[1:], 2):
        if wrapper.has(f"-{letter}", valued=True):
            return 1 if position < len(word) else 2
        if not wrapper.has(f"-{letter}", valued=False):
            return 0
    return 1


def _fill(command: Argv, mark: str) -> Argv:
    """The command with an unknown word in place of each that holds the mark."""
    return tuple(Hole.ONE if isinstance(word, str) and (mark in word) else word for word in command)


def found_commands(argv: Argv) -> list[Argv]:
    """The commands that `find` runs."""
    commands: list[Argv] = []
    for start, word in enumerate(argv):
        if word in {"-exec", "-execdir", "-ok", "-okdir"}:
            ends = [end for end in range(start + 1, len(argv)) if argv[end] in {";", "+"}]
            if command := argv[start + 1 : ends[0] if ends else len(argv)]:
                commands.append(_fill(command, "{}"))
    return commands


@dataclass(frozen=True, slots=True)
class Script:
    """Code that a command passes to a shell; `code` is None if it is unknown, `shell` if the same shell runs it.

    `certain` is False if the shell may parse it differently, or do more than the code says.
    """

    code: str | None
    shell: Shell | None = None
    certain: bool = True


def shell_script(argv: Argv) -> Script | None:
    """The code in the line itself that the command passes to a shell or interpreter, if any."""
    name, arguments = name_of(argv), argv[1:]
    if name in SHELLS:
        return _shell_code(_READABLE_SHELLS.get(name), arguments)
    if name in INTERPRETERS:
        return Script(None) if _runs_inline(arguments) else None
    return _builtin_code(name, arguments)


def _builtin_code(name: str, arguments: Argv) -> Script | None:
    texts = [word for word in arguments if isinstance(word, str)]
    known = len(texts) == len(arguments)
    script: Script | None = None
    match name:
        case "eval":
            script = Script(" ".join(texts) if known else None)
        case "alias" if arguments:
            values = "\n".join(word.partition("=")[2] for word in texts)
            script = Script(values if known else None, certain=False)
        case "trap":
            action = (*(arguments[1:] if arguments[:1] == ("--",) else arguments), "-")[0]
            if action not in {"-p", "-l", "-", ""}:
                script = Script(action if isinstance(action, str) else None)
        case "source" | ".":
            file = next((word for word in arguments if word != "--"), "-")
            script = Script(None) if isinstance(file, Hole) or _STREAM.fullmatch(file or "-") else None
        case "watch":
            script = Script(" ".join(texts) if known else None, "sh", certain=False)
        case "su" | "runuser" | "script" | "flock" if "-c" in arguments:
            code = (*arguments[arguments.index("-c") + 1 :], None)[0]
            script = Script(code if isinstance(code, str) else None, "sh", certain=False)
    return script


def _shell_code(shell: Shell | None, arguments: Argv) -> Script | None:
    certain = shell is not None
    for position, word in enumerate(arguments):
        if isinstance(word, Hole):
            return Script(None)
        certain &= _PLAIN_SHELL_OPTION.fullmatch(word) is not None
        if re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", word):
            later = arguments[position + 1 :]
            place = next((at for at, one in enumerate(later) if isinstance(one, Hole) or one[:1] != "-"), len(later))
            code = later[place] if place < len(later) else None
            certain &= all(isinstance(one, str) and _PLAIN_SHELL_OPTION.fullmatch(one) for one in later[:place])
            return Script(code if isinstance(code, str) else None, shell or "bash", certain=certain)
        if not word.startswith(("-", "+")):
            return Script(None) if _STREAM.fullmatch(word) else None  # a file is no part of the line
    return None if "--version" in arguments else Script(None)  # it reads its standard input


def _runs_inline(arguments: Argv) -> bool:
    """Whether an interpreter gets its code from the line: an option that carries code, or its standard input."""
    if any(isinstance(word, Hole) or _CODE_OPTIONS.fullmatch(word) or _STREAM.fullmatch(word) for word in arguments):
        return True
    return all(isinstance(word, str) and word.startswith("-") and word != "--version" for word in arguments)
