"""Decides on shell lines: those that read, or change only the workspace, run confined; the rest by rules and mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vmpilot.contract import RunsCommand
from vmpilot.permissions.classification import CommandClassification, changes_folder, classify_line
from vmpilot.permissions.decision import Decision, Mode, apply_rules, ask_or_deny
from vmpilot.permissions.lexer import lex_line
from vmpilot.permissions.parsers import CommandParser
from vmpilot.permissions.path_rules import PathRules
from vmpilot.permissions.rule_syntax import SHELL, Rule
from vmpilot.permissions.rules import Match, Rules, allows_command, match_commands, rules_for_tool
from vmpilot.permissions.shell_line import Line
from vmpilot.permissions.shfmt_parser import ParserFailed
from vmpilot.permissions.suggested_rules import suggest_command_rules
from vmpilot.permissions.wrappers import Argv

NO_SANDBOX = "No sandbox works here, so every command needs approval; `vmpilot doctor` shows how to fix that"
_BUILTINS = frozenset({":", "[", "[[", "cd", "echo", "false", "printf", "pwd", "test", "true", "type"})


class ShellPolicy:
    """Decides on shell lines in one mode, under one set of rules."""

    def __init__(
        self, mode: Mode, *, paths: PathRules, rules: Rules, confines: Callable[[], bool], search_path: str = ""
    ) -> None:
        self._mode = mode
        self._paths = paths
        self.rules = rules
        self._confines = confines
        self._parser = CommandParser(None if paths.objection_to_running("bash") else search_path)

    def decide(self, effect: RunsCommand) -> Decision:
        """The decision on one shell line."""
        deny, ask = (self._match(rules, effect.line) for rules in (self.rules.deny, self.rules.ask))
        if deny and deny.certain:
            return apply_rules(Decision("deny", ""), deny=deny, ask=None)
        decision = apply_rules(self._decide_by_mode(effect), deny=deny, ask=ask)
        if (match := deny or ask) and match.unknown and decision.action == "ask" and not decision.suggested_rules:
            return replace(decision, suggested_rules=self._rules_for(match.unknown, effect.line))
        return decision

    def _match(self, rules: tuple[Rule, ...], line: str) -> Match | None:
        if not (rules := rules_for_tool(rules, SHELL)):
            return None
        allowed = (*self.rules.allow, *self.rules.allow_on_host)
        return match_commands(rules, self._parser.find_commands(line), allowed=allowed)

    def _rules_for(self, unknown: tuple[Argv, ...], text: str) -> tuple[str, ...]:
        """Rules that name each of these programs, if they can be suggested."""
        try:
            line = self._parser.parse_plain(text) or ()
        except ParserFailed:
            return ()
        commands = [command for command in line if command.argv in unknown]
        return suggest_command_rules(commands) if {command.argv for command in commands} == set(unknown) else ()

    def _decide_by_mode(self, effect: RunsCommand) -> Decision:
        if self._mode == "full":
            return Decision("allow", "Full mode", exclusive=not self._reads_beside_others(effect))
        if effect.background:
            return ask_or_deny(self._mode, "Keeps running in the background")
        try:
            line = self._parser.parse_plain(effect.line)
        except ParserFailed as failure:
            return ask_or_deny(self._mode, f"Could not be checked: {failure}")
        if line is None:
            return ask_or_deny(self._mode, "Too complex to check automatically")
        return self._decide_by_commands(classify_line(line, self._paths, folder=effect.folder), line)

    def _decide_by_commands(self, commands: tuple[CommandClassification, ...], line: Line) -> Decision:
        exclusive = changes_folder(line) or not all(one.read_only or one.level == "read" for one in commands)
        sent = [self._is_allowed(self.rules.allow_on_host, one) for one in commands]
        others = [one for one, is_sent in zip(commands, sent, strict=True) if not is_sent and not _is_builtin(one)]
        # A command that only reads runs in the sandbox alone. A rule on its neighbor in the line is no reason to run
        # it outside, where a mistake in the tables would cost more.
        if any(sent) and not others and (self._mode != "observe" or all(one.read_only for one in commands)):
            return Decision("allow", "A rule allows it outside the sandbox", exclusive=exclusive)
        confines = self._confines()
        if confines and (decision := self._allow_confined(commands, exclusive=exclusive)):
            return decision
        reasons = [one.reason for one in commands if one.level is None or self._forbids(one)]
        reason = reasons[0] if reasons else NO_SANDBOX
        if any(sent) and others:
            name = others[0].command.argv[0]
            reason = f"Rules allow only part of it outside the sandbox, not {name}; run the commands one at a time"
        asked = [one for one in commands if not _is_builtin(one)]
        secret = any(one.secret for one in asked)
        suggested_rules = () if secret else suggest_command_rules(one.command for one in asked)
        return ask_or_deny(self._mode, reason, exclusive=exclusive, suggested_rules=suggested_rules)

    def _allow_confined(self, commands: tuple[CommandClassification, ...], *, exclusive: bool) -> Decision | None:
        """The decision if each command may run in the sandbox, by the tables or by a rule."""
        by_rule = [one for one in commands if one.level is None or self._forbids(one)]
        if by_rule and (self._mode == "observe" or self._paths.objection_to_confined_changes):
            return None
        if not all(self._is_allowed(self.rules.allow, one) for one in by_rule):
            return None
        if by_rule:
            return Decision("allow", "A rule allows it", exclusive=exclusive, confinement="workspace")
        changing = [one for one in commands if one.level == "workspace"]
        return Decision(
            "allow",
            (*changing, *commands)[0].reason,
            exclusive=exclusive,
            confinement="workspace" if changing else "read",
        )

    def _forbids(self, command: CommandClassification) -> bool:
        """Whether the mode allows less than the tables do."""
        return self._mode == "observe" and command.level == "workspace"

    def _is_allowed(self, rules: tuple[Rule, ...], command: CommandClassification) -> bool:
        return command.inside and allows_command(rules, command.command)

    def _reads_beside_others(self, effect: RunsCommand) -> bool:
        """Whether the line only reads by the lexer alone: enough to run it beside others, but no permission."""
        line = lex_line(effect.line)
        if line is None or effect.background or changes_folder(line):
            return False
        return all(one.read_only for one in classify_line(line, self._paths, folder=effect.folder))


def _is_builtin(command: CommandClassification) -> bool:
    """Whether bash does it itself and only reads: then it is the same inside and outside the sandbox."""
    return command.read_only and command.level == "read" and command.command.argv[0] in _BUILTINS
