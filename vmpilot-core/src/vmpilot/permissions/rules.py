"""What the user allows, wants to be asked about, and forbids: rules held against calls. `written_rules` reads them."""

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
    """A rule that holds for a call; `certain` is False if it only might, and `reason` says why.

    `unknown` are the commands that are the only reason: programs that are not known to run nothing else.
    """

    rule: Rule
    certain: bool = True
    reason: str = ""
    unknown: tuple[Argv, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """Written rules, read. Deny goes before ask, and ask before allow."""

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
        """Read written rules: `TOOL` or `TOOL: PREFIX`. Raises ValueError naming the first rule that is none."""
        return cls(_read("allow", allow), _read("allow_on_host", allow_on_host), _read("ask", ask), _read("deny", deny))

    @property
    def tools(self) -> frozenset[str]:
        """The tools that the rules name."""
        return frozenset(rule.tool for kind in (self.allow, self.allow_on_host, self.ask, self.deny) for rule in kind)

    def check_tools(self, known: Collection[str]) -> None:
        """Raises ValueError for the first rule on a tool that is not known, with the name that may be meant."""
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
            raise ValueError(f"the rule {one!r} in {name} is not one: {error}") from error
    return tuple(rules)


def rules_for_tool(rules: Iterable[Rule], tool: str) -> tuple[Rule, ...]:
    """The rules that speak of the tool."""
    return tuple(rule for rule in rules if rule.tool == tool)


def allows_command(rules: Iterable[Rule], command: SimpleCommand) -> bool:
    """Whether a rule allows this very command: the same words, as they are written, and no wildcards among them."""
    argv = command.argv
    for rule in rules_for_tool(rules, SHELL):
        size = len(argv) if rule.exact else len(rule.words)
        if argv[:size] == rule.words and not any(word.has_wildcard for word in command.words[:size]):
            return True
    return False


def match_commands(rules: Iterable[Rule], found: Found, *, allowed: Iterable[Rule] = ()) -> Match | None:
    """The first rule that one of the commands matches, else one that might be matched.

    A program that is not known to run nothing else might run what any rule names, unless a rule in `allowed` names it.
    """
    rules = rules_for_tool(rules, SHELL)
    for rule in rules:
        if not rule.words or any(_is_meant(rule, argv) for argv in found.certain):
            return Match(rule)
    named = [rule for rule in rules_for_tool(allowed, SHELL) if rule.words]
    unknown = tuple(argv for argv in found.unknown if not any(_names_program(rule, argv) for rule in named))
    for rule in rules:
        if found.opaque is not None:
            return Match(rule, certain=False, reason=found.opaque)
        if _may_match(rule.words, found):
            return Match(rule, certain=False)
        if unknown:
            return Match(rule, certain=False, reason=_explain_unknown(str(unknown[0][0])), unknown=unknown)
    return None


def _explain_unknown(name: str) -> str:
    if written := write_rule(SHELL, [name]):
        return f'{name} can run other programs (to allow it, add "{written}" to allow)'
    return "it can run other programs"


def _names_program(rule: Rule, argv: Argv) -> bool:
    """Whether the rule names this very program, by the path by which it is called."""
    size = len(argv) if rule.exact else len(rule.words)
    return argv[:size] == rule.words


def _is_meant(rule: Rule, argv: Argv) -> bool:
    return _matches(rule.words, argv) and not (rule.exact and len(argv) != len(rule.words))


def _matches(words: Sequence[str], argv: Argv) -> bool:
    if not argv or not _same_program(words[0], argv[0]):
        return False
    return tuple(argv[1 : len(words)]) == tuple(words[1:])


def _same_program(written: str, name: str | Hole) -> bool:
    if isinstance(name, Hole):
        return False
    return name == written or ("/" not in written and name.rpartition("/")[2] == written)


def _may_match(words: Sequence[str], found: Found) -> bool:
    return any(_nearly_matches(words, argv) for argv in found.certain) or any(
        _matches(words, argv) for argv in found.possible
    )


def _nearly_matches(words: Sequence[str], argv: Argv) -> bool:
    """The same program, given all the rule's words in some order or place, or something that cannot be read."""
    if isinstance(argv[0], Hole) or argv[0].rpartition("/")[2] != words[0].rpartition("/")[2]:
        return False
    if all(_is_given(word, argv[1:]) for word in words[1:]):
        return True
    return any(isinstance(word, Hole) for word in argv) and not _differs_at_once(words, argv)


def _differs_at_once(words: Sequence[str], argv: Argv) -> bool:
    """Whether the first argument, `diff` of `git diff $X`, already tells that a rule on `git push` is not meant."""
    first = argv[1] if len(argv) > 1 else Hole.MANY
    return isinstance(first, str) and len(words) > 1 and not first.startswith("-") and first != words[1]


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
    """The first rule that names one of the paths or a folder around it; with `below`, one inside might be matched."""
    for rule in rules:
        if not rule.words or any(_covers(rule, path, root) for path in paths):
            return Match(rule)
    for rule in rules:
        if below and any(_is_within(_rule_path(rule, root), str(path)) for path in paths):
            return Match(rule, certain=False)
    return None


def allows_paths(rules: Sequence[Rule], paths: Sequence[Path], root: str) -> bool:
    """Whether each of the paths is named by some rule."""
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
    """The host of an address that can only be read in one way, None for any other."""
    match = _HOST.fullmatch(url)
    return match[1].lower().rstrip(".") if match else None


def match_host(rules: Iterable[Rule], url: str) -> Match | None:
    """The first rule that names the address's host; where that is not plain, any might."""
    host = plain_host(url)
    for rule in rules:
        if not rule.words or host is None or rule.words[0] == host:
            return Match(rule, certain=not rule.words or host is not None)
    return None


def match_subject(rules: Iterable[Rule], subject: str) -> Match | None:
    """The first rule with whose words the subject begins."""
    words = tuple(subject.split())
    return next((Match(rule) for rule in rules if words[: len(rule.words)] == rule.words), None)
