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

    `#` among the short options permits a number (`head -5`), `words` are long options with one dash (`find -name`),
    `first` are the only words that a first operand may be (`systemctl status`).
    """

    short: str = ""
    long: frozenset[str] = frozenset()
    operands: int = 1_000
    first: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()

    def permits(self, arguments: Sequence[str]) -> bool:
        """Whether every option and operand is permitted."""
        operands = [word for word in arguments if not self._is_option(word)]
        if any(not self._permits_option(word) for word in arguments if self._is_option(word)):
            return False
        if self.first and operands and operands[0] not in self.first:
            return False
        return len(operands) <= self.operands

    @staticmethod
    def _is_option(word: str) -> bool:
        return len(word) > 1 and word.startswith("-")

    def _permits_option(self, word: str) -> bool:
        if word.startswith("--"):
            return word[2:].partition("=")[0] in self.long
        if word in self.words:
            return True
        if _NUMBER.fullmatch(word):
            return "#" in self.short
        return self._permits_letters(word[1:])

    def _permits_letters(self, letters: str) -> bool:
        for letter in letters:
            position = self.short.find(letter)
            if position < 0 or letter in ":#":
                return False
            if self.short[position + 1 : position + 2] == ":":
                return True  # the rest is its value
        return True


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
    short="HLP",
    words=_words(
        "-name -iname -path -ipath -type -size -mtime -mmin -atime -amin -ctime -cmin -newer -maxdepth -mindepth "
        "-empty -user -group -perm -print -not -a -o -and -or -xdev -mount -readable -writable -executable -links "
        "-regex -ls"
    ),
)

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
    "ip": _program("46bcdhors", "brief", first=_words("a addr address r route l link"), operands=1),
    "journalctl": _program(
        "ab:ekmn:o:p:ru:xS:U:#",
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
    "ps": _program("efFlwC:o:Au:p:", "sort no-headers", operands=1, first=_words("aux auxw auxww ax u a x")),
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
    "strings": _program("an:o:t:e:"),
    "systemctl": _program(
        "aln:qt:p:",
        "no-pager all type state full lines",
        first=_words("status is-active is-enabled is-failed list-units list-unit-files list-timers show cat"),
    ),
    "tac": _program("brs:"),
    "tail": _program("c:n:qv#", "lines bytes quiet verbose"),
    "test": _program(words=_words("-d -e -f -r -s -w -x -n -z -eq -ne -lt -le -gt -ge")),
    "tr": _program("cdst"),
    "tree": _program("adDfFghiL:psuCI:P:", "du dirsfirst noreport"),
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
