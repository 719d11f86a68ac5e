"""Matches the rules that allow, ask and deny against calls. `rule_syntax` parses them."""

from __future__ import annotations

import difflib
import os.path
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from vmpilot.permissions.found_commands import Found
from vmpilot.permissions.path_rules import Unresolvable, resolve
from vmpilot.permissions.rule_syntax import SHELL, Rule, read_rule, write_rule
from vmpilot.permissions.shell_line import SimpleCommand
from vmpilot.permissions.wrappers import Argv, Hole

_HOST = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d*)?(?:[/?#][!-\[\]-~]*)?")
_CLUSTER = re.compile(r"-[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matches a call; `certain` is False if it only might, and `reason` says why.

    `unknown` are the commands that are the only reason: their programs may run others.
    """

    rule: Rule
    certain: bool = True
    reason: str = ""
    unknown: tuple[Argv, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """Parsed rules. Deny goes before ask, and ask before allow."""

    allow: tuple[Rule, ...] = ()
    allow_on_host: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    @classmethod
    def read(
        cls,
        *,
        allow: Iterable[str] = (),
        allow_on_host: Iterable[str] = (),
        ask: Iterable[str] = (),
        deny: Iterable[str] = (),
    ) -> Self:
        """Parse rules, `TOOL` or `TOOL: PREFIX`. Raises ValueError that names the first invalid one."""
        return cls(_read("allow", allow), _read("allow_on_host", allow_on_host), _read("ask", ask), _read("deny", deny))

    @property
    def tools(self) -> frozenset[str]:
        """The tools that the rules name."""
        return frozenset(rule.tool for kind in (self.allow, self.allow_on_host, self.ask, self.deny) for rule in kind)

    def check_tools(self, known: Collection[str]) -> None:
        """Raises ValueError for the first rule on an unknown tool, with the name that may be meant."""
        for setting in ("deny", "ask", "allow_on_host", "allow"):
            for rule in getattr(self, setting):
                if rule.tool not in known:
                    similar = difflib.get_close_matches(rule.tool, known, 1)
                    hint = f'Did you mean "{similar[0]}"?' if similar else f"The tools are: {', '.join(sorted(known))}."
                    raise ValueError(f'Unknown tool "{rule.tool}" in the rule {rule.written!r} in {setting}. {hint}')

    def __add__(self, other: Rules) -> Rules:
        """The rules of both."""
        return Rules(
            self.allow + other.allow,
            self.allow_on_host + other.allow_on_host,
            self.ask + other.ask,
            self.deny + other.deny,
        )


def _read(name: str, written: Iterable[str]) -> tuple[Rule, ...]:
    rules = []
    for one in written:
        try:
            rules.append(read_rule(one))
        except ValueError as error:
            raise ValueError(f"Invalid rule {one!r} in {name}: {error}") from error
    return tuple(rules)


def rules_for_tool(rules: Iterable[Rule], tool: str) -> tuple[Rule, ...]:
    """The rules on the tool."""
    return tuple(rule for rule in rules if rule.tool == tool)


def allows_command(rules: Iterable[Rule], command: SimpleCommand) -> bool:
    """Whether a rule allows exactly this command: the same words as written, without wildcards."""
    argv = command.argv
    for rule in rules_for_tool(rules, SHELL):
        size = len(argv) if rule.exact else len(rule.words)
        if argv[:size] == rule.words and not any(word.has_wildcard for word in command.words[:size]):
            return True
    return False


def match_commands(rules: Iterable[Rule], found: Found, *, allowed: Iterable[Rule] = ()) -> Match | None:
    """The first rule that one of the commands matches, else one that might match.

    A program that may run others might run what any rule names, unless a rule in `allowed` names the program.
    """
    rules = rules_for_tool(rules, SHELL)
    for rule in rules:
        exact = (argv for argv in found.certain if not rule.exact or len(argv) == len(rule.words))
        if not rule.words or any(_matches(rule.words, argv) for argv in exact):
            return Match(rule)
    if not rules:
        return None
    if found.opaque is not None:
        return Match(rules[0], certain=False, reason=found.opaque)
    named = [rule for rule in rules_for_tool(allowed, SHELL) if rule.words]
    unknown = tuple(argv for argv in found.unknown if not any(_names_program(rule, argv) for rule in named))
    for rule in rules:
        if any(_nearly_matches(rule.words, argv) for argv in found.certain) or any(
            _matches(rule.words, argv) for argv in found.possible
        ):
            return Match(rule, certain=False)
        if unknown:
            name = str(unknown[0][0])
            written = write_rule(SHELL, [name])
            hint = f'{name} can run other programs (to allow it, add "{written}" to allow)' if written else ""
            return Match(rule, certain=False, reason=hint or "it can run other programs", unknown=unknown)
    return None


def _names_program(rule: Rule, argv: Argv) -> bool:
    """Whether the rule names this program, by the path by which it is called."""
    size = len(argv) if rule.exact else len(rule.words)
    return argv[:size] == rule.words


def _matches(words: Sequence[str], argv: Argv) -> bool:
    if not argv or isinstance(name := argv[0], Hole):
        return False
    same = name == words[0] or ("/" not in words[0] and name.rpartition("/")[2] == words[0])
    return same and tuple(argv[1 : len(words)]) == tuple(words[1:])


def _nearly_matches(words: Sequence[str], argv: Argv) -> bool:
    """The same program with all the rule's words in some order or place, or with words that are not known."""
    if isinstance(argv[0], Hole) or argv[0].rpartition("/")[2] != words[0].rpartition("/")[2]:
        return False
    if all(_is_given(word, argv[1:]) for word in words[1:]):
        return True
    # The first argument, `diff` of `git diff $X`, may already rule out `git push`.
    first = argv[1] if len(argv) > 1 else Hole.MANY
    differs = isinstance(first, str) and len(words) > 1 and not first.startswith("-") and first != words[1]
    return any(isinstance(word, Hole) for word in argv) and not differs


def _is_given(word: str, arguments: Argv) -> bool:
    """Whether the word is among the arguments; an option may also be given in its other, long or short, spelling."""
    if word in arguments:
        return True
    options = [given for given in arguments if isinstance(given, str) and given.startswith("-") and len(given) > 1]
    if _CLUSTER.fullmatch(word):
        letters = {letter for given in options if _CLUSTER.fullmatch(given) for letter in given[1:]}
        return set(word[1:]) <= letters or any(given.startswith("--") for given in options)
    if word.startswith("--"):
        name = word.partition("=")[0]
        return any(not given.startswith("--") or name.startswith(given.partition("=")[0]) for given in options)
    return False


def match_paths(rules: Iterable[Rule], paths: Sequence[Path], root: str, *, below: bool = False) -> Match | None:
    """The first rule that names one of the paths or a folder around it; with `below`, one inside them might match."""
    for rule in rules:
        if not rule.words or any(_covers(rule, path, root) for path in paths):
            return Match(rule)
    for rule in rules:
        if below and any(_is_within(_rule_path(rule, root), str(path)) for path in paths):
            return Match(rule, certain=False)
    return None


def allows_paths(rules: Sequence[Rule], paths: Sequence[Path], root: str) -> bool:
    """Whether some rule names each of the paths."""
    return bool(paths) and all(any(not rule.words or _covers(rule, path, root) for rule in rules) for path in paths)


def _covers(rule: Rule, path: Path, root: str) -> bool:
    return _is_within(str(path), _rule_path(rule, root))


def _rule_path(rule: Rule, root: str) -> str:
    """The folder or file that the rule names; a link that cannot be read stands for itself."""
    path = Path(root, rule.words[0])
    try:
        return resolve(path)
    except Unresolvable:
        return os.path.normpath(path)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def plain_host(url: str) -> str | None:
    """The host of an unambiguous address, None for any other."""
    match = _HOST.fullmatch(url)
    return match[1].lower().rstrip(".") if match else None


def match_host(rules: Iterable[Rule], url: str) -> Match | None:
    """The first rule that names the address's host; any might if the address is ambiguous."""
    host = plain_host(url)
    for rule in rules:
        if not rule.words or host is None or rule.words[0] == host:
            return Match(rule, certain=not rule.words or host is not None)
    return None


def match_subject(rules: Iterable[Rule], subject: str) -> Match | None:
    """The first rule whose words the subject begins with."""
    words = tuple(subject.split())
    return next((Match(rule) for rule in rules if words[: len(rule.words)] == rule.words), None)
