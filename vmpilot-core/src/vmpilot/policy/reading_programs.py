"""The programs that a plainly reading command may name, each with the options that it may be given.

A table of what is permitted: an option that is missing here is asked about, whatever it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NUMBER = re.compile(r"-\d+")


@dataclass(frozen=True, slots=True)
class Program:
    """What one program may be given: short options in getopt's notation (`n:` takes a value), long ones, operands.

    `#` among the short options permits a number (`head -5`). A long option that ends in `=` must have its value
    attached. `words` are long options with one dash (`find -name`), `first` are the only words that a first operand
    may be (`systemctl status`). A colon that the program does not mean would hide what follows: check its manual.
    """

    short: str = ""
    long: frozenset[str] = frozenset()
    operands: int = 1_000
    first: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()

    def permits(self, arguments: Sequence[str]) -> bool:
        """Whether every option and operand is permitted."""
        operands = self._read_operands(arguments)
        if operands is None or len(operands) > self.operands:
            return False
        return not (self.first and operands and operands[0] not in self.first)

    def _read_operands(self, arguments: Sequence[str]) -> list[str] | None:
        """The words that are neither options nor their values; None where an option is not permitted."""
        operands: list[str] = []
        words = iter(arguments)
        for word in words:
            if not _is_option(word):
                operands.append(word)
            elif not self._permits_option(word) or (self._wants_value(word) and not _is_value(next(words, "-"))):
                return None
        return operands

    def _permits_option(self, word: str) -> bool:
        if word.startswith("--"):
            name, equals, _ = word[2:].partition("=")
            return name in self.long or name + equals in self.long
        if word in self.words:
            return True
        if _NUMBER.fullmatch(word):
            return "#" in self.short
        return self._permits_letters(word[1:])

    def _permits_letters(self, letters: str) -> bool:
        for letter in letters:
            if letter in ":#" or letter not in self.short:
                return False
            if f"{letter}:" in self.short:
                return True  # the rest is its value
        return True

    def _wants_value(self, word: str) -> bool:
        """Whether the next word is the value of this permitted option."""
        if word.startswith("--") or word in self.words:
            return False
        valued = [letter for letter in word[1:] if f"{letter}:" in self.short]
        return bool(valued) and word.index(valued[0]) == len(word) - 1


def _is_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-")


def _is_value(word: str) -> bool:
    """A value that looks like an option could be one, or hide one: only numbers may."""
    return not word.startswith("-") or _NUMBER.fullmatch(word) is not None


def _program(short: str = "", long: str = "", **more: object) -> Program:
    return Program(short=short, long=frozenset(long.split()), **more)  # type: ignore[arg-type]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LS = _program(
    "aAbBcCdfFgGhHiI:klLmnNopqQrRsStuUvxXZ1", "all almost-all human-readable recursive reverse size color sort"
)
_GREP = _program(
    "abcEFGhHiIlLnoPqrsvwxA:B:C:m:e:#",
    "ignore-case invert-match count files-with-matches line-number recursive only-matching include exclude exclude-dir "
    "after-context before-context context fixed-strings extended-regexp color max-count word-regexp no-messages quiet",
)
_SUMS = _program("bt", "tag")
_NOTHING = _program(operands=0)

_FIND = Program(
    short="HLP#",
    words=_words(
        "-name -iname -path -ipath -type -size -mtime -mmin -atime -amin -ctime -cmin -newer -maxdepth -mindepth "
        "-empty -user -group -perm -print -not -a -o -and -or -xdev -mount -readable -writable -executable -links "
        "-regex -ls"
    ),
)

READERS_OF_TREES = frozenset({"diff", "egrep", "fgrep", "grep"})
"""Programs of the table that read the contents of whole folders when told to (`-r`, `--recursive`)."""

PROGRAMS: Mapping[str, Program] = {
    "[": _program(words=_words("-d -e -f -r -s -w -x -n -z -eq -ne -lt -le -gt -ge")),
    "apt-cache": _program(first=_words("policy search show depends rdepends")),
    "arch": _NOTHING,
    "basename": _program("as:", "suffix multiple"),
    "cat": _program("AbeEnstTuv", "number show-all show-ends"),
    "cd": _program(operands=1),
    "cksum": _SUMS,
    "cmp": _program("bls"),
    "cut": _program("b:c:d:f:s", "bytes characters delimiter fields only-delimited complement output-delimiter"),
    "date": _program("Rud:", "utc iso-8601 rfc-3339 date", operands=1, first=_words("+%s +%F +%T +%c +%Y-%m-%d")),
    "df": _program("aB:hHiklPTt:x", "human-readable total output type inodes local"),
    "diff": _program("abBciNqruwyU:#", "unified brief recursive color ignore-all-space"),
    "dirname": _program(),
    "dpkg": _program("lLs", "list listfiles status"),
    "du": _program("abchkLmsSxd:#", "max-depth summarize human-readable total all apparent-size one-file-system"),
    "echo": _program("neE"),
    "egrep": _GREP,
    "false": _NOTHING,
    "fgrep": _GREP,
    "file": _program("bikLz", "brief mime mime-type"),
    "find": _FIND,
    "free": _program("bkmghtwl", "human mega giga total", operands=0),
    "grep": _GREP,
    "groups": _program(),
    "head": _program("c:n:qv#", "lines bytes quiet verbose"),
    "hexdump": _program("bcCn:s:v"),
    "hostname": _program("fiIs", operands=0),
    "id": _program("gGnru"),
    "ip": _program(
        words=_words("-4 -6 -br -brief -c -d -h -o -r -s"), first=_words("a addr address r route l link"), operands=1
    ),
    "journalctl": _program(
        "abekmn:o:p:ru:xS:U:#",
        "unit since until lines no-pager boot priority output reverse dmesg list-boots disk-usage",
    ),
    "ls": _LS,
    "lsblk": _program("abdfJlmno:", "all fs json output"),
    "lscpu": _program("aeJ", "json"),
    "lsmod": _NOTHING,
    "md5sum": _SUMS,
    "nl": _program("b:n:s:w:"),
    "nproc": _program(long="all", operands=0),
    "od": _program("A:bcdij:N:ot:vwx"),
    "printf": _program(),
    # No -u: ps reads a line that names an unknown user once more in BSD's way, where `e` shows environments.
    "ps": _program("efFlwC:o:Ap:", "sort= no-headers", operands=1, first=_words("aux auxw auxww ax u a x")),
    "pwd": _program("LP", operands=0),
    "readlink": _program("efmn"),
    "realpath": _program("emqsz"),
    "rev": _program(),
    "seq": _program("f:s:w"),
    "sha1sum": _SUMS,
    "sha256sum": _SUMS,
    "sha512sum": _SUMS,
    "sleep": _program(operands=1),
    "sort": _program("bcCdfghiMnrRsk:t:uVz", "numeric-sort reverse unique key field-separator human-numeric-sort"),
    "ss": _program("46aelmnoprstuwx", "tcp udp listening numeric processes summary", operands=0),
    "stat": _program("c:fLt", "format printf terse file-system"),
    "strings": _program("an:ot:e:"),
    "systemctl": _program(
        "aln:qt:p:",
        "no-pager all full type= state= lines=",
        first=_words("status is-active is-enabled is-failed list-units list-unit-files list-timers show cat"),
    ),
    "tac": _program("brs:"),
    "tail": _program("c:n:qv#", "lines bytes quiet verbose"),
    "test": _program(words=_words("-d -e -f -r -s -w -x -n -z -eq -ne -lt -le -gt -ge")),
    "tr": _program("cdst"),
    # Not in getopt's way: behind a letter with a value, the other letters of the cluster are options still.
    "tree": _program("adDfFghipsuC", "du dirsfirst noreport", words=_words("-L -I -P")),
    "true": _NOTHING,
    "type": _program("aptP"),
    "uname": _program("asnrvmpio", "all", operands=0),
    "uniq": _program("cdDiu", "count repeated unique ignore-case", operands=1),
    "uptime": _program("ps", "pretty since", operands=0),
    "vmstat": _program("adfimnst"),
    "w": _program("hsf", operands=0),
    "wc": _program("clLmw", "lines words bytes chars"),
    "which": _program("a"),
    "who": _program("abHqru", operands=0),
    "whoami": _NOTHING,
}
