"""Which commands run nothing else, whatever is on their standard input: for rules that deny or ask, in every mode.

A program that is not listed may run others. Programs that it runs because of its configuration on disk (hooks of
a repository, for example) are not part of the line and do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from vmpilot.permissions.command_spec import Program, word_set
from vmpilot.permissions.read_only_commands import CHANGING_PROGRAMS, PROGRAMS
from vmpilot.permissions.shell_line import Word
from vmpilot.permissions.wrappers import Argv, Hole, may_assign

_SYSTEM_FOLDERS = frozenset({"/bin", "/sbin", "/usr/bin", "/usr/sbin"})


_INERT_PROGRAMS = word_set(
    "arch b2sum base32 base64 basename basenc bzip2 cat chgrp chmod chown cksum cmp column comm cp csplit cut "
    "date dd df dig dir dircolors dirname du expand factor fmt fold free getent grep groups gzip head hexdump "
    "host hostid hostname id join kill killall link ln logname ls lsblk lscpu lsmod lsof md5sum mkdir mkfifo "
    "mknod mktemp mv nl nproc numfmt od paste pathchk pgrep pidof ping pkill pr printenv ps pstree ptx readlink "
    "realpath rev rm rmdir seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep stat strings stty "
    "sum sync tac tail tee touch tr truncate tsort tty uname unexpand uniq unlink uptime users vdir vmstat "
    "w wc which who whoami xxd xz yes"
)
"""Programs that run nothing else, whatever their arguments."""
_INERT_BUILTINS = word_set(
    ": bg break caller cd continue dirs disown echo exit false fg help logout popd pushd pwd return shift suspend "
    "times true type ulimit umask"
)
"""Builtins of bash that evaluate nothing, whatever their arguments."""
_NOT_BY_TABLE = frozenset({"bash", "egrep", "fgrep", "git", "printf", "sed", "test"})
"""Programs whose entries in the other tables are for sandboxed commands, and permit more, or are less exact."""

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_UNARY = re.compile(r"-[abcdefghknoprstuwxzGLNOS]")
_BINARY = re.compile(r"=|==|!=|<|>|-(?:eq|ne|lt|le|gt|ge|nt|ot|ef)")
_SET_OPTION = re.compile(r"[-+][eufx]+|[-+][eux]*o")
_SET_NAME = re.compile(r"errexit|nounset|pipefail|xtrace|noglob")
_READ_FLAGS = re.compile(r"-[rs]+")
_READ_VALUED = re.compile(r"-[rs]*([dnNtupa])(.*)", re.DOTALL)
_JOBS = re.compile(r"%.*|\d+|-[nf]")

_TEXT = r"[^\\\[\n{mark}]"
_ADDRESS = r"(?:\d+|\$|/[A-Za-z0-9_ .,:=@%\"'<>^$-]+/)"
_SUBSTITUTION = "|".join(
    rf"s\{mark}{_TEXT.format(mark=mark)}*\{mark}{_TEXT.format(mark=mark)}*\{mark}[gpiI0-9]*" for mark in "/|#,"
)
_SED_COMMAND = rf"(?:{_ADDRESS}(?:,{_ADDRESS})? *!? *)?(?:[pdqP=]|q\d+|{_SUBSTITUTION})"
_SED = re.compile(rf"\s*{_SED_COMMAND}(?:\s*[;\n]\s*{_SED_COMMAND})*[;\s]*")
"""Scripts without brackets and backslashes, which are unambiguous, and without `e`, `w` and `r`."""
_SED_FLAGS = re.compile(r"-[nErsuz]*(?:i|i\.[A-Za-z]+)?|--(?:quiet|silent|regexp-extended|in-place)")
_SED_SCRIPT = re.compile(r"-[nErsuz]*e")


def _program(short: str = "", long: str = "", operands: int = 1_000) -> Program:
    return Program(short=short, long=word_set(long), operands=operands)


_PERMITTED: Mapping[str, Program] = {
    "curl": _program(
        "sSfLkIgiNOo:X:H:d:A:m:u:w:b:c:r:T:F:C:G#",
        "silent show-error fail fail-with-body location insecure head include remote-name output= request= "
        "header= data= data-raw= data-binary= json= max-time= connect-timeout= retry= user-agent= user= write-out= "
        "compressed get",
    ),
    "unzip": _program("lnopqd:"),
    "wget": _program("qcO:P:nvST:t:U:", "quiet output-document= no-verbose timeout= tries= continue spider"),
}

_INERT_GIT = word_set(
    "add blame branch cat-file check-ignore checkout cherry-pick commit describe diff log ls-files ls-tree merge-base "
    "mv reflog reset restore rev-list rev-parse revert rm shortlog show stash status switch tag worktree"
)
"""Subcommands no argument of which names a program."""
_GIT: Mapping[str, Program] = {
    "clone": _program("qvb:", "quiet depth= branch= single-branch recurse-submodules bare"),
    "config": _program("l", "list get get-all show-origin global local system"),
    "fetch": _program("apqtv", "all prune tags quiet verbose depth="),
    "init": _program("qb:", "quiet bare initial-branch="),
    "merge": _program("qm:", "no-ff ff-only no-edit squash abort continue quiet no-commit"),
    "pull": _program("qvr", "rebase no-rebase ff-only no-edit quiet"),
    "push": _program("qfuvn", "force force-with-lease set-upstream tags delete dry-run quiet all"),
    "rebase": _program("q", "continue abort skip onto= autostash quiet"),
    "remote": _program("v", "verbose"),
}
_GIT_READS_CONFIG = frozenset({"l", "list", "get", "get-all"})
_GIT_TRANSPORT = re.compile(r"[a-z0-9+.-]+::.*|-.*", re.DOTALL)


def runs_nothing_else(argv: Argv) -> bool:
    """Whether only the program itself runs, a builtin or a system program by its name."""
    if not isinstance(argv[0], str):
        return False
    folder, slash, name = argv[0].rpartition("/")
    if slash and folder not in _SYSTEM_FOLDERS:
        return False  # it may link to anything
    if name in _INERT_PROGRAMS or name in _INERT_BUILTINS:
        return True
    if name in _CHECKS:
        return _CHECKS[name](argv[1:])
    return name not in _NOT_BY_TABLE and _is_permitted(name, argv[1:])


def _is_permitted(name: str, arguments: Argv) -> bool:
    """Whether a table permits these arguments."""
    words = [Word(word, "") for word in arguments if isinstance(word, str)]
    tables = (PROGRAMS, CHANGING_PROGRAMS, _PERMITTED)
    return len(words) == len(arguments) and any(
        table[name].parse(words) is not None for table in tables if name in table
    )


def _test(arguments: Argv) -> bool:
    """`-v` and `-R` evaluate subscripts, so no word that could be one may be unknown."""
    words = list(arguments)
    while words[:1] == ["!"]:
        words.pop(0)
    if Hole.MANY in words or "-v" in words or "-R" in words:
        return False
    if all(isinstance(word, str) for word in words):
        return True
    match words:
        case [_]:
            return True
        case [str(operator), _]:
            return _UNARY.fullmatch(operator) is not None
        case [_, str(operator), _]:
            return _BINARY.fullmatch(operator) is not None
        case _:
            return False


def _printf(arguments: Argv) -> bool:
    words = arguments[1:] if arguments[:1] == ("--",) else arguments
    if not words or not isinstance(words[0], str):
        return words != arguments and Hole.MANY not in words[:1]
    return (words != arguments or not words[0].startswith("-")) and "%n" not in words[0]


def _read(arguments: Argv) -> bool:
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not isinstance(word, str):
            return False
        if _READ_FLAGS.fullmatch(word):
            continue
        if valued := _READ_VALUED.fullmatch(word):
            value = valued[2] or (words.pop(0) if words else "")
            if not isinstance(value, str) or (valued[1] == "a" and not may_assign(value)):
                return False
        elif not may_assign(word):
            return False
    return True


def _mapfile(arguments: Argv) -> bool:
    names = arguments[1:] if arguments[:1] == ("-t",) else arguments
    return len(names) == 1 and isinstance(names[0], str) and may_assign(names[0])


def _set(arguments: Argv) -> bool:
    for position, word in enumerate(arguments):
        if word == "--":
            return True
        if not isinstance(word, str):
            return False
        named = position > 0 and str(arguments[position - 1]).endswith("o") and _SET_NAME.fullmatch(word)
        if not named and not _SET_OPTION.fullmatch(word):
            return False
    return True


def _sed(arguments: Argv) -> bool:
    words = [word for word in arguments if isinstance(word, str)]
    if len(words) != len(arguments):
        return False
    scripts, operands = [], []
    while words:
        word = words.pop(0)
        if _SED_SCRIPT.fullmatch(word):
            scripts += words[:1]
            del words[:1]
        elif not word.startswith("-") or word == "-":
            operands.append(word)
        elif not _SED_FLAGS.fullmatch(word):
            return False
    return all(_SED.fullmatch(script) for script in scripts or operands[:1])


def _git(arguments: Argv) -> bool:
    words = list(arguments)
    while words[:1] == ["--no-pager"] or (words[:1] == ["-C"] and len(words) > 1 and words[1] is not Hole.MANY):
        del words[: 1 if words[0] == "--no-pager" else 2]
    if words == ["--version"]:
        return True
    if not words or not isinstance(words[0], str):
        return False
    command, rest = words[0], words[1:]
    if command in _INERT_GIT:
        return True
    texts = [word for word in rest if isinstance(word, str)]
    program = _GIT.get(command)
    if program is None or len(texts) != len(rest):
        return False
    usage = program.parse([Word(text, "") for text in texts])
    if usage is None or any(_GIT_TRANSPORT.fullmatch(word.text) for word in usage.operands):
        return False
    return command != "config" or bool(usage.options & _GIT_READS_CONFIG)


_CHECKS: Mapping[str, Callable[[Argv], bool]] = {
    "[": lambda words: words[-1:] == ("]",) and _test(words[:-1]),
    "bash": lambda words: words == ("--version",),
    # The commands of -exec are checked on their own; an unknown word could be an -exec, or end one.
    "find": lambda words: all(isinstance(word, str) for word in words),
    "git": _git,
    "jobs": lambda words: all(word in {"-l", "-p", "-r", "-s"} for word in words),
    "mapfile": _mapfile,
    "printf": _printf,
    "read": _read,
    "readarray": _mapfile,
    "sed": _sed,
    "set": _set,
    "test": _test,
    "unset": lambda words: all(isinstance(word, str) and _NAME.fullmatch(word) and may_assign(word) for word in words),
    "wait": lambda words: all(
        word is Hole.NUMBER or (isinstance(word, str) and _JOBS.fullmatch(word)) for word in words
    ),
}
