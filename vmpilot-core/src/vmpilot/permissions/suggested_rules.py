"""The rules that the user may save when a call needs approval: narrow ones, and none that allow anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from vmpilot.permissions.command_spec import word_set
from vmpilot.permissions.rule_syntax import FETCH, SHELL, write_rule
from vmpilot.permissions.rules import plain_host
from vmpilot.permissions.shell_line import SimpleCommand
from vmpilot.permissions.wrappers import INTERPRETERS, SHELLS, WRAPPERS, program_name

_NEVER = (
    SHELLS
    | INTERPRETERS
    | frozenset(WRAPPERS)
    | word_set(
        ". alias at batch bunx chown crontab dd declare enable eval export fd fdfind find hash kubectl local mkfs "
        "npx parallel pipx readonly rm rsync scp screen script set shopt shred source ssh su "
        "tmux trap typeset unset uvx vim"
    )
)
_RUNS_OTHERS = frozenset({"exec", "run", "x", "dlx", "runx", "tool"})
"""Subcommands such as `docker exec` and `uv run`: the rest of the line is what they run."""
_SUBCOMMANDS = word_set(
    "apt apt-get cargo composer dnf docker dotnet gh git go gradle helm make mvn npm pip pnpm podman poetry service "
    "snap systemctl terraform uv yarn"
)
_SCRIPT_RUNNERS = frozenset({"npm", "pnpm", "yarn"})
_NEVER_SAVED = frozenset({"mcp_accept_changes"})
"""Tools whose calls must be reviewed each time."""


def suggest_command_rules(commands: Iterable[SimpleCommand]) -> tuple[str, ...]:
    """One rule for each command; none at all if one of them cannot have one."""
    rules = [_command_rule(command) for command in commands]
    return tuple(dict.fromkeys(rule for rule in rules if rule)) if all(rules) else ()


def _command_rule(command: SimpleCommand) -> str | None:
    argv = command.argv
    program = program_name(argv[0])
    if program in _NEVER or "=" in argv[0] or any(word.has_wildcard for word in command.words):
        return None
    if any(redirection.target.text not in {"/dev/null", "1", "2"} for redirection in command.redirections):
        return None
    if program in _SUBCOMMANDS:
        if len(argv) < 2 or argv[1].startswith("-"):
            return None
        if argv[1] in _RUNS_OTHERS and not (argv[0] in _SCRIPT_RUNNERS and argv[1] == "run" and len(argv) > 2):
            return None
    return write_rule(SHELL, argv, exact=True)


def suggest_folder_rules(tool: str, paths: Sequence[Path]) -> tuple[str, ...]:
    """A rule for the folder of each path."""
    folders = dict.fromkeys(str(path.parent) for path in paths)
    rules = [write_rule(tool, (folder,)) for folder in folders if re.fullmatch(r"(?:/[^/]+){2,}", folder)]
    return tuple(rule for rule in rules if rule)


def suggest_host_rules(tool: str, url: str) -> tuple[str, ...]:
    """A rule for the host of an address."""
    host = plain_host(url)
    rule = write_rule(tool, (host,)) if host and tool == FETCH else None
    return (rule,) if rule else ()


def suggest_subject_rules(tool: str, subject: str) -> tuple[str, ...]:
    """A rule for what another tool does, or for the tool itself; none for what must be reviewed each time."""
    rule = None if tool in _NEVER_SAVED else write_rule(tool, subject.split())
    return (rule,) if rule else ()
