"""Decides on shell lines: what reads, or changes only the workspace, runs confined; the rest goes by rules and mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vmpilot.contract import RunsCommand
from vmpilot.permissions.classification import CommandClassification, changes_folder, classify_line
from vmpilot.permissions.decision import Decision, Mode, apply_rules, ask_or_deny
from vmpilot.permissions.lexer import read_line
from vmpilot.permissions.parsers import CommandParser
from vmpilot.permissions.path_rules import PathRules
from vmpilot.permissions.rule_syntax import SHELL, Rule
from vmpilot.permissions.rules import Match, Rules, allows_command, match_commands, rules_for_tool
from vmpilot.permissions.shell_line import Line
from vmpilot.permissions.shfmt_parser import ParserFailed
from vmpilot.permissions.suggested_rules import suggest_command_rules
from vmpilot.permissions.wrappers import Argv

NO_SANDBOX = "no sandbox works here, so no command runs without a question; `vmpilot doctor` says how to mend that"


class ShellPolicy:
    """Decides on shell lines in one mode, under one set of rules."""

    def __init__(
        self, mode: Mode, *, paths: PathRules, rules: Rules, confines: Callable[[], bool], search_path: str = ""
    ) -> None:
        self._mode = mode
        self._paths = paths
        self.rules = rules
        self._confines = confines
        self._reader = CommandParser(None if paths.objection_to_running("bash") else search_path)

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
        rules = rules_for_tool(rules, SHELL)
        if not rules:
            return None
        allowed = (*self.rules.allow, *self.rules.allow_on_host)
        return match_commands(rules, self._reader.find_commands(line), allowed=allowed)

    def _rules_for(self, unknown: tuple[Argv, ...], text: str) -> tuple[str, ...]:
        """Rules that would name each of these programs, if they can be offered."""
        try:
            line = self._reader.parse_plain(text) or ()
        except ParserFailed:
            return ()
        commands = [command for command in line if command.argv in unknown]
        return suggest_command_rules(commands) if {command.argv for command in commands} == set(unknown) else ()

    def _decide_by_mode(self, effect: RunsCommand) -> Decision:
        if self._mode == "full":
            return Decision("allow", "mode full", exclusive=not self._reads_beside_others(effect))
        if effect.background:
            return ask_or_deny(self._mode, "it goes on in the background")
        try:
            line = self._reader.parse_plain(effect.line)
        except ParserFailed as failure:
            return ask_or_deny(self._mode, f"it could not be read: {failure}")
        if line is None:
            return ask_or_deny(self._mode, "it cannot be read for certain")
        return self._decide_by_commands(line, self._classify(line, effect))

    def _decide_by_commands(self, line: Line, classifications: tuple[CommandClassification, ...]) -> Decision:
        exclusive = changes_folder(line) or not all(
            classification.read_only or classification.level == "read" for classification in classifications
        )
        if decision := self._allow_on_host(classifications, exclusive=exclusive):
            return decision
        confines = self._confines()
        if confines and (decision := self._allow_confined(classifications, exclusive=exclusive)):
            return decision
        reasons = [
            classification.reason
            for classification in classifications
            if classification.level is None or self._forbids(classification)
        ]
        reason = self._split_levels(classifications) or (reasons[0] if reasons else NO_SANDBOX)
        asked = [classification for classification in classifications if not _runs_no_program(classification)]
        offers = not any(classification.secret for classification in asked)
        suggested_rules = suggest_command_rules(classification.command for classification in asked) if offers else ()
        return ask_or_deny(self._mode, reason, exclusive=exclusive, suggested_rules=suggested_rules)

    def _allow_confined(
        self, classifications: tuple[CommandClassification, ...], *, exclusive: bool
    ) -> Decision | None:
        """Where each command is let through in the sandbox, by the tables or by a rule."""
        by_rule = [
            classification
            for classification in classifications
            if classification.level is None or self._forbids(classification)
        ]
        if by_rule and (self._mode == "observe" or self._paths.objection_to_confined_changes):
            return None
        if not all(self._is_allowed(self.rules.allow, classification) for classification in by_rule):
            return None
        if by_rule:
            return Decision("allow", "a rule allows it", exclusive=exclusive, confinement="workspace")
        changing = next(
            (classification for classification in classifications if classification.level == "workspace"), None
        )
        if changing:
            return Decision("allow", changing.reason, exclusive=exclusive, confinement="workspace")
        return Decision("allow", classifications[0].reason, exclusive=exclusive, confinement="read")

    def _allow_on_host(self, classifications: tuple[CommandClassification, ...], *, exclusive: bool) -> Decision | None:
        """The decision if rules send each program of the line to the host.

        One that only reads is let through in the sandbox alone. A rule on its neighbor in the line is no reason to run
        it outside, where a mistake in the tables would cost more.
        """
        sent = [self._is_sent(classification) for classification in classifications]
        if not any(sent) or not all(
            ok or _runs_no_program(classification) for ok, classification in zip(sent, classifications, strict=True)
        ):
            return None
        if self._mode == "observe" and not all(classification.read_only for classification in classifications):
            return None
        return Decision("allow", "a rule allows it on this machine", exclusive=exclusive)

    def _split_levels(self, classifications: tuple[CommandClassification, ...]) -> str | None:
        """Why a line is asked about of which rules send a part to the host, None if they send none."""
        sent = [self._is_sent(classification) for classification in classifications]
        others = [
            classification.command.argv[0]
            for ok, classification in zip(sent, classifications, strict=True)
            if not ok and not _runs_no_program(classification)
        ]
        if not any(sent) or not others:
            return None
        return f"only a part of it is allowed outside the sandbox, and {others[0]} is not: run them one by one"

    def _is_sent(self, classification: CommandClassification) -> bool:
        return self._is_allowed(self.rules.allow_on_host, classification)

    def _forbids(self, classification: CommandClassification) -> bool:
        """Whether the mode lets through less than the tables do."""
        return self._mode == "observe" and classification.level == "workspace"

    def _is_allowed(self, rules: tuple[Rule, ...], classification: CommandClassification) -> bool:
        return classification.inside and allows_command(rules, classification.command)

    def _reads_beside_others(self, effect: RunsCommand) -> bool:
        """Whether the line only reads, as one reader has it: enough to run it beside others, which is no permission."""
        line = read_line(effect.line)
        if line is None or effect.background or changes_folder(line):
            return False
        return all(classification.read_only for classification in self._classify(line, effect))

    def _classify(self, line: Line, effect: RunsCommand) -> tuple[CommandClassification, ...]:
        return classify_line(line, self._paths, folder=effect.folder)


_OF_THE_SHELL = frozenset({"cd", "echo", "false", "printf", "pwd", "test", "true", "type"})


def _runs_no_program(classification: CommandClassification) -> bool:
    """Whether bash does it by itself, and only reads: then it is the same inside and outside the sandbox."""
    return (
        classification.read_only and classification.level == "read" and classification.command.argv[0] in _OF_THE_SHELL
    )
