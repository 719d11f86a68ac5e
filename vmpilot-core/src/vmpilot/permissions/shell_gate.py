"""Decides on shell lines: what reads, or changes only the workspace, runs confined; the rest goes by rules and mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vmpilot.contract import RunsCommand
from vmpilot.permissions.judgement import Judgement, changes_folder, judge_line
from vmpilot.permissions.lexer import read_line
from vmpilot.permissions.line import Line
from vmpilot.permissions.offers import command_rules
from vmpilot.permissions.places import Places
from vmpilot.permissions.reading import LineReader
from vmpilot.permissions.rules import Match, Rules, allows_command, match_commands, of_tool
from vmpilot.permissions.shfmt_reader import ParserFailed
from vmpilot.permissions.verdict import Mode, Verdict, ask_or_deny, under_rules
from vmpilot.permissions.wrappers import Argv
from vmpilot.permissions.written_rules import SHELL, Rule

NO_SANDBOX = "no sandbox works here, so no command runs without a question; `vmpilot doctor` says how to mend that"


class ShellGate:
    """Decides on shell lines in one mode, under one set of rules."""

    def __init__(
        self, mode: Mode, *, places: Places, rules: Rules, confines: Callable[[], bool], search_path: str = ""
    ) -> None:
        self._mode = mode
        self._places = places
        self.rules = rules
        self._confines = confines
        self._reader = LineReader(None if places.against_running("bash") else search_path)

    def decide(self, effect: RunsCommand) -> Verdict:
        """The verdict on one shell line."""
        deny, ask = (self._match(rules, effect.line) for rules in (self.rules.deny, self.rules.ask))
        if deny and deny.certain:
            return under_rules(Verdict("deny", ""), deny=deny, ask=None)
        verdict = under_rules(self._decide_by_mode(effect), deny=deny, ask=ask)
        if (match := deny or ask) and match.unseen and verdict.action == "ask" and not verdict.always:
            return replace(verdict, always=self._rules_for(match.unseen, effect.line))
        return verdict

    def _match(self, rules: tuple[Rule, ...], line: str) -> Match | None:
        rules = of_tool(rules, SHELL)
        if not rules:
            return None
        allowed = (*self.rules.allow, *self.rules.allow_on_host)
        return match_commands(rules, self._reader.find_commands(line), allowed=allowed)

    def _rules_for(self, unseen: tuple[Argv, ...], text: str) -> tuple[str, ...]:
        """Rules that would name each of these programs, if they can be offered."""
        try:
            line = self._reader.read_plainly(text) or ()
        except ParserFailed:
            return ()
        commands = [command for command in line if command.argv in unseen]
        return command_rules(commands) if {command.argv for command in commands} == set(unseen) else ()

    def _decide_by_mode(self, effect: RunsCommand) -> Verdict:
        if self._mode == "full":
            return Verdict("allow", "mode full", alone=not self._reads_beside_others(effect))
        if effect.background:
            return ask_or_deny(self._mode, "it goes on in the background")
        try:
            line = self._reader.read_plainly(effect.line)
        except ParserFailed as failure:
            return ask_or_deny(self._mode, f"it could not be read: {failure}")
        if line is None:
            return ask_or_deny(self._mode, "it cannot be read for certain")
        return self._decide_by_commands(line, self._judge(line, effect))

    def _decide_by_commands(self, line: Line, judgements: tuple[Judgement, ...]) -> Verdict:
        alone = changes_folder(line) or not all(
            judgement.only_reads or judgement.level == "read" for judgement in judgements
        )
        if verdict := self._allow_on_host(judgements, alone=alone):
            return verdict
        confines = self._confines()
        if confines and (verdict := self._allow_confined(judgements, alone=alone)):
            return verdict
        reasons = [judgement.why for judgement in judgements if judgement.level is None or self._forbids(judgement)]
        why = self._split_levels(judgements) or (reasons[0] if reasons else NO_SANDBOX)
        asked = [judgement for judgement in judgements if not _runs_no_program(judgement)]
        offers = not any(judgement.secret for judgement in asked)
        always = command_rules(judgement.command for judgement in asked) if offers else ()
        return ask_or_deny(self._mode, why, alone=alone, always=always)

    def _allow_confined(self, judgements: tuple[Judgement, ...], *, alone: bool) -> Verdict | None:
        """Where each command is let through in the sandbox, by the tables or by a rule."""
        by_rule = [judgement for judgement in judgements if judgement.level is None or self._forbids(judgement)]
        if by_rule and (self._mode == "observe" or self._places.against_confined_changes):
            return None
        if not all(self._is_allowed(self.rules.allow, judgement) for judgement in by_rule):
            return None
        if by_rule:
            return Verdict("allow", "a rule allows it", alone=alone, confinement="workspace")
        changing = next((judgement for judgement in judgements if judgement.level == "workspace"), None)
        if changing:
            return Verdict("allow", changing.why, alone=alone, confinement="workspace")
        return Verdict("allow", judgements[0].why, alone=alone, confinement="read")

    def _allow_on_host(self, judgements: tuple[Judgement, ...], *, alone: bool) -> Verdict | None:
        """The verdict if rules send each program of the line to the host.

        One that only reads is let through in the sandbox alone. A rule on its neighbor in the line is no reason to run
        it outside, where a mistake in the tables would cost more.
        """
        sent = [self._is_sent(judgement) for judgement in judgements]
        if not any(sent) or not all(
            ok or _runs_no_program(judgement) for ok, judgement in zip(sent, judgements, strict=True)
        ):
            return None
        if self._mode == "observe" and not all(judgement.only_reads for judgement in judgements):
            return None
        return Verdict("allow", "a rule allows it on this machine", alone=alone)

    def _split_levels(self, judgements: tuple[Judgement, ...]) -> str | None:
        """Why a line is asked about of which rules send a part to the host, None if they send none."""
        sent = [self._is_sent(judgement) for judgement in judgements]
        others = [
            judgement.command.argv[0]
            for ok, judgement in zip(sent, judgements, strict=True)
            if not ok and not _runs_no_program(judgement)
        ]
        if not any(sent) or not others:
            return None
        return f"only a part of it is allowed outside the sandbox, and {others[0]} is not: run them one by one"

    def _is_sent(self, judgement: Judgement) -> bool:
        return self._is_allowed(self.rules.allow_on_host, judgement)

    def _forbids(self, judgement: Judgement) -> bool:
        """Whether the mode lets through less than the tables do."""
        return self._mode == "observe" and judgement.level == "workspace"

    def _is_allowed(self, rules: tuple[Rule, ...], judgement: Judgement) -> bool:
        return judgement.inside and allows_command(rules, judgement.command)

    def _reads_beside_others(self, effect: RunsCommand) -> bool:
        """Whether the line only reads, as one reader has it: enough to run it beside others, which is no permission."""
        line = read_line(effect.line)
        if line is None or effect.background or changes_folder(line):
            return False
        return all(judgement.only_reads for judgement in self._judge(line, effect))

    def _judge(self, line: Line, effect: RunsCommand) -> tuple[Judgement, ...]:
        return judge_line(line, self._places, folder=effect.folder)


_OF_THE_SHELL = frozenset({"cd", "echo", "false", "printf", "pwd", "test", "true", "type"})


def _runs_no_program(judgement: Judgement) -> bool:
    """Whether bash does it by itself, and only reads: then it is the same inside and outside the sandbox."""
    return judgement.only_reads and judgement.level == "read" and judgement.command.argv[0] in _OF_THE_SHELL
