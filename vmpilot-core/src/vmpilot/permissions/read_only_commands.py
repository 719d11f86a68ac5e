"""The programs that a read-only command may run, each with its permitted options.

A command with any other option needs approval, whatever the option does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from vmpilot.permissions.command_spec import Program, word_set
from vmpilot.permissions.script_patterns import AWK, DATE, JQ, MODE, PRINTF, SED


def _program(short: str = "", long: str = "", **more: object) -> Program:
    return Program(short=short, long=word_set(long), **more)  # type: ignore[arg-type]


_LS = _program(
    "aAbBcCdfFgGhHiI:klmnNopqQrRsStuUvxXZ1",  # not -L: with -R it would follow links
    "all almost-all human-readable recursive reverse size color sort: time: full-time group-directories-first",
    harmless=True,
)
_GREP = _program(
    "abcEFGhHiIlLnoPqrsvwxA:B:C:m:e:#",
    "ignore-case invert-match count files-with-matches files-without-match line-number recursive only-matching "
    "include: exclude: exclude-dir: after-context: before-context: context: fixed-strings extended-regexp color "
    "max-count: word-regexp no-messages quiet no-filename with-filename",
    harmless=True,
    texts=1,
    text_given=word_set("e"),
    text_values=word_set("e"),
    reads_trees="if recursive",
)
_SUMS = _program("bt", "tag", harmless=True)
_NOTHING = _program(operands=0)
_TEST = _program(words=word_set("-d -e -f -r -s -w -x -n -z -eq -ne -lt -le -gt -ge -nt -ot -ef -h -L"))
_VERSION = _program(long="version", operands=0, needed=word_set("version"))

_FIND_TEXTS = "name iname path ipath type size mtime mmin atime amin ctime cmin maxdepth mindepth user group perm links"
_FIND = Program(
    short="HP#",
    words=word_set(" ".join(f"-{name}:" for name in f"{_FIND_TEXTS} regex newer".split()))
    | word_set("-empty -print -not -a -o -and -or -xdev -mount -readable -writable -executable -ls"),
    text_values=word_set(f"{_FIND_TEXTS} regex"),
)

_HISTORY = (
    "oneline stat shortstat numstat graph all decorate no-decorate patch no-patch name-only name-status author= since= "
    "until= after= before= grep= format= pretty= follow no-merges merges reverse date= max-count= abbrev-commit "
    "first-parent color= no-color unified= word-diff ignore-all-space cached staged check no-renames diff-filter= tags"
)
_HISTORY_TEXTS = word_set("author since until after before grep format pretty date S G n")
_GIT_HISTORY = _program("bn:psS:G:U:wiE#", _HISTORY, text_values=_HISTORY_TEXTS, runs_hooks=True)

PROGRAMS: Mapping[str, Program] = {
    ":": _program(texts=1_000, harmless=True),
    # Not -v and -R: they evaluate a subscript, and so run commands.
    "[": _TEST,
    "[[": _TEST,
    "apt-cache": _program(first=word_set("policy search show depends rdepends")),
    "arch": _NOTHING,
    "awk": _program("F:", script=AWK, texts=1),
    "basename": _program("as:", "suffix: multiple", harmless=True),
    "bash": _VERSION,
    "cat": _program("AbeEnstTuv", "number show-all show-ends", harmless=True),
    "cd": _program(operands=1),
    "cksum": _SUMS,
    "cmake": _VERSION,
    "cmp": _program("bls", harmless=True),
    "column": _program("ts:", harmless=True),
    "comm": _program("123", harmless=True),
    "cut": _program(
        "b:c:d:f:s", "bytes: characters: delimiter: fields: only-delimited complement output-delimiter:", harmless=True
    ),
    "date": _program(
        "Rud:", "utc iso-8601 rfc-3339: date:", operands=1, script=DATE, texts=1, text_values=word_set("d date")
    ),
    "df": _program("aB:hHiklPTt:x:", "human-readable total output type: inodes local", harmless=True),
    "diff": _program(
        "abBciNqruwyU:#",
        "unified brief recursive color ignore-all-space side-by-side no-dereference",
        reads_trees="folders",
        keeps_links="no-dereference",
        harmless=True,
    ),
    "dirname": _program(harmless=True),
    "docker": _VERSION,
    "dpkg": _program("lLs", "list listfiles status"),
    "du": _program(
        "abchkmsSxd:#", "max-depth: summarize human-readable total all apparent-size one-file-system", harmless=True
    ),
    "echo": _program("neE", texts=1_000, harmless=True),
    "egrep": _GREP,
    "expand": _program("t:", harmless=True),
    "false": _NOTHING,
    "fgrep": _GREP,
    "file": _program("bikL", "brief mime mime-type"),
    "find": _FIND,
    "fold": _program("sw:", harmless=True),
    "free": _program("bkmghtwl", "human mega giga total", operands=0),
    "g++": _VERSION,
    "gcc": _VERSION,
    "git": _VERSION,
    "git blame": _program("L:wMC", "date=", text_values=word_set("L date"), runs_hooks=True),
    "git branch": _program("arv", "all remotes verbose list show-current", operands=0, runs_hooks=True),
    # Outside of a repository it compares the files in two folders.
    "git diff": replace(_GIT_HISTORY, reads_trees="folders"),
    "git log": _GIT_HISTORY,
    "git ls-files": _program("comdst", "cached others modified deleted stage exclude-standard", runs_hooks=True),
    "git rev-parse": _program(
        long="abbrev-ref short verify show-toplevel is-inside-work-tree show-prefix", runs_hooks=True
    ),
    "git show": _GIT_HISTORY,
    "git status": _program(
        "bsvu", "short branch long verbose porcelain porcelain= untracked-files= ignored show-stash", runs_hooks=True
    ),
    "grep": _GREP,
    "groups": _program(texts=1_000),
    "head": _program("c:n:qv#", "lines: bytes: quiet verbose", harmless=True),
    "hexdump": _program("bcCn:s:v", harmless=True),
    "hostname": _program("fs", operands=0),
    "id": _program("gGnru", texts=1),
    "ip": _program(
        words=word_set("-4 -6 -br -brief -c -d -h -o -r -s"),
        first=word_set("a addr address r route l link"),
        operands=1,
        looks_at_machine=True,
    ),
    "journalctl": _program(
        "abekmn:o:p:ru:xS:U:#",
        "unit= since= until= lines= no-pager boot priority= output= reverse dmesg list-boots disk-usage",
        texts=1_000,
        text_values=word_set("n o p u S U unit since until lines priority output"),
        looks_at_machine=True,
    ),
    "jq": _program(
        "rcseSMCnaj", "raw-output compact-output slurp exit-status sort-keys tab", texts=1, script=JQ, harmless=True
    ),
    "ls": _LS,
    "lsblk": _program("abdfJlmno:", "all fs json output:", harmless=True),
    "lscpu": _program("aeJ", "json"),
    "lsmod": _NOTHING,
    "make": _VERSION,
    "md5sum": _SUMS,
    "nl": _program("b:n:s:w:", harmless=True),
    "node": _VERSION,
    "nproc": _program(long="all", operands=0),
    "od": _program("A:bcdij:N:ot:vwx", harmless=True),
    "paste": _program("d:s", harmless=True),
    "pgrep": _program("aflnoxu:", texts=1, looks_at_machine=True),
    "pip": _VERSION,
    "printf": _program(script=PRINTF, texts=1_000),
    # No -u: if the user is unknown, ps parses the line again as BSD does, where `e` shows environments.
    "ps": _program(
        "efFlwC:o:Ap:",
        "sort= no-headers forest",
        operands=1,
        first=word_set("aux auxw auxww auxf axf ax u a x"),
        looks_at_machine=True,
    ),
    "pstree": _program("paU", operands=0, looks_at_machine=True),
    "pwd": _program("LP", operands=0),
    "python": _VERSION,
    "python3": _VERSION,
    "readlink": _program("efmn", harmless=True),
    "realpath": _program("emqsz", harmless=True),
    "rev": _program(harmless=True),
    "rg": _program(
        "cFHilnNopsSvwxPA:B:C:e:g:m:t:T:M:d:",
        "ignore-case smart-case line-number no-line-number count files-with-matches fixed-strings word-regexp "
        "type= type-not= glob= max-count= max-depth= context= only-matching no-heading heading files sort= stats "
        "invert-match no-ignore multiline pcre2 color= max-columns= trim json",
        texts=1,
        text_given=word_set("e files"),
        text_values=word_set("e t T type type-not"),
        reads_trees="always",
    ),
    "sed": _program(
        "nEre:",
        "quiet silent regexp-extended",
        script=SED,
        texts=1,
        text_given=word_set("e"),
        text_values=word_set("e"),
    ),
    "seq": _program("f:s:w", texts=3, operands=3),
    "sha1sum": _SUMS,
    "sha256sum": _SUMS,
    "sha512sum": _SUMS,
    "sleep": _program(operands=1, texts=1),
    "sort": _program("bcCdfghiMnrRsk:t:uVz", "numeric-sort reverse unique key: field-separator: human-numeric-sort"),
    "ss": _program("46aelmnoprstuwx", "tcp udp listening numeric processes summary", operands=0, looks_at_machine=True),
    "stat": _program(
        "c:fLt", "format: printf= terse file-system", text_values=word_set("c format printf"), harmless=True
    ),
    # `@FILE` takes more arguments from the file.
    "strings": _program("an:ot:e:", refused=re.compile("@"), harmless=True),
    "systemctl": _program(
        "aln:qt:p:",
        "no-pager all full failed type= state= lines= property= user",
        first=word_set("status is-active is-enabled is-failed list-units list-unit-files list-timers show cat"),
        texts=1_000,
        text_values=word_set("n t p type state lines property"),
        looks_at_machine=True,
    ),
    "tac": _program("brs:", harmless=True),
    "tail": _program("c:n:qv#", "lines: bytes: quiet verbose", harmless=True),
    "test": _TEST,
    "top": _program("bn:o:", text_values=word_set("n o"), operands=0, looks_at_machine=True),
    "tr": _program("cdst", texts=2, operands=2, harmless=True),
    # Not as getopt has it: after a letter with a value, the other letters of the cluster are still options.
    "tree": _program(
        "adDfFghipsuC", "du dirsfirst noreport", words=word_set("-L: -I: -P:"), text_values=word_set("I P L")
    ),
    "true": _NOTHING,
    "type": _program("aptP", texts=1_000),
    "uname": _program("asnrvmpio", "all", operands=0),
    "uniq": _program("cdDiu", "count repeated unique ignore-case", operands=1),
    "uptime": _program("ps", "pretty since", operands=0),
    "vmstat": _program("adfimnst"),
    "w": _program("hsf", operands=0, looks_at_machine=True),
    "wc": _program("clLmw", "lines words bytes chars", harmless=True),
    "which": _program("a", texts=1_000),
    "who": _program("abHqru", operands=0, looks_at_machine=True),
    "whoami": _NOTHING,
}
"""By program name; `git log` is a subcommand, and git's options before it are not permitted."""

CHANGING_PROGRAMS: Mapping[str, Program] = {
    "chmod": _program("v", "verbose", script=MODE, texts=1, writes="operands behind the texts"),
    "cp": _program("finpuv", "force no-clobber update verbose", writes="target"),
    "mkdir": _program("pv", "parents verbose", writes="operands"),
    "mv": _program("finuv", "force no-clobber update verbose", writes="sources and target"),
    "rmdir": _program("pv", "parents verbose", writes="operands"),
    "sed": _program(
        "nEre:",
        "quiet silent regexp-extended",
        words=word_set("-i"),
        needed=word_set("i"),
        script=SED,
        texts=1,
        text_given=word_set("e"),
        text_values=word_set("e"),
        writes="operands behind the texts",
    ),
    "tee": _program("a", "append", writes="operands"),
    "touch": _program("acmd:", "no-create date:", text_values=word_set("d date"), writes="operands"),
}
"""Programs that change the operands named in `writes` and nothing else."""
