"""The permission modes and rules: what runs by itself, what is asked about, what is denied. Runs nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import assert_never

from vmpilot.contract import Acts, ChangesFiles, Effect, Fetches, LooksUp, ReadsFiles, RunsCommand
from vmpilot.machine.workspace import show_name
from vmpilot.permissions.offers import folder_rules, host_rule, subject_rule
from vmpilot.permissions.places import Places
from vmpilot.permissions.rules import (
    Match,
    Rules,
    allows_paths,
    match_host,
    match_paths,
    match_subject,
    of_tool,
    plain_host,
)
from vmpilot.permissions.shell_gate import ShellGate
from vmpilot.permissions.verdict import Mode, Verdict, ask_or_deny, under_rules
from vmpilot.permissions.written_rules import Rule


class Gate:
    """Decides on tool calls in one permission mode, for work in one workspace.

    Reading is free in every mode but for places of secrets. Changes inside the workspace run in mode operate; what else
    there is, is asked about there, runs in full, and is denied in observe. Rules come before the mode: deny, then ask,
    then allow. `confines` tells whether a sandbox works: without one, no shell command is let through by the mode.
    `own` are folders of VMPilot itself, not changed unasked; `private` files and folders are not read, either.
    `search_path` is the PATH of commands: a program that the workspace brings is not trusted for its name. `home` is
    their HOME, for `~`; with an empty one it is not known. One gate is for one thread at a time.
    """

    def __init__(
        self,
        mode: Mode,
        *,
        workspace: Path,
        rules: Rules = Rules(),  # noqa: B008  it is frozen
        confines: Callable[[], bool],
        own: Iterable[Path] = (),
        private: Iterable[Path] = (),
        search_path: str = "",
        home: str = "",
    ) -> None:
        self.mode = mode
        self._rules = rules
        self._places = Places(workspace, own, private=private, search_path=search_path, home=home)
        self._shell = ShellGate(mode, places=self._places, rules=rules, confines=confines, search_path=search_path)

    def keep(self, rules: Rules) -> None:
        """Go by these rules, too, from here on."""
        self._rules += rules
        self._shell.rules = self._rules

    def decide(self, tool: str, effect: Effect) -> Verdict:
        """The verdict on one call of a tool, and on what it would do."""
        if isinstance(effect, RunsCommand):
            return self._shell.decide(effect)
        verdict = self._decide_by_mode(tool, effect)
        deny, ask, allow = (
            self._match(of_tool(rules, tool), effect)
            for rules in (self._rules.deny, self._rules.ask, self._rules.allow)
        )
        if verdict.action != "allow" and allow and self._allows(of_tool(self._rules.allow, tool), effect):
            verdict = Verdict("allow", f'the rule "{allow.rule.written}" allows it', alone=verdict.alone)
        return under_rules(verdict, deny=deny, ask=ask)

    def _decide_by_mode(self, tool: str, effect: Effect) -> Verdict:
        match effect:
            case ReadsFiles():
                return self._decide_reading(tool, effect)
            case ChangesFiles(paths):
                return self._decide_changes(tool, paths)
            case LooksUp():
                return Verdict("allow", "it only looks something up", alone=False)
            case Fetches(url):
                return ask_or_deny(
                    self.mode, f"it sends a request to {_shown(url)}", alone=False, always=host_rule(tool, url)
                )
            case Acts(subject):
                return ask_or_deny(self.mode, "it may change something", always=subject_rule(tool, subject))
            case RunsCommand():
                return self._shell.decide(effect)
            case _:
                assert_never(effect)

    def _decide_reading(self, tool: str, effect: ReadsFiles) -> Verdict:
        against = self._places.against_searching if effect.below else self._places.against_reading
        reasons = [reason for path in effect.paths if (reason := against(str(path)))]
        if not reasons:
            return Verdict("allow", "it only reads", alone=False)
        offers = all(self._places.against_reading(str(path)) is None for path in effect.paths)
        always = tuple(rule for path in effect.paths for rule in subject_rule(tool, str(path))) if offers else ()
        return ask_or_deny(self.mode, show_name(reasons[0]), alone=False, always=always)

    def _decide_changes(self, tool: str, paths: tuple[Path, ...]) -> Verdict:
        reasons = [reason for path in paths if (reason := self._places.against_changing(str(path)))]
        if not reasons and paths and self.mode != "observe":
            return Verdict("allow", "mode full" if self.mode == "full" else "it only changes the workspace")
        offers = not any(self._places.against_reading(str(path)) for path in paths)
        return ask_or_deny(
            self.mode,
            show_name(reasons[0]) if reasons else "it changes files",
            always=folder_rules(tool, paths) if offers else (),
        )

    def _match(self, rules: tuple[Rule, ...], effect: Effect) -> Match | None:
        match effect:
            case ReadsFiles(paths, below):
                return match_paths(rules, paths, self._places.root, below=below)
            case ChangesFiles(paths):
                return match_paths(rules, paths, self._places.root)
            case Fetches(url):
                return match_host(rules, url)
            case Acts(subject):
                return match_subject(rules, subject)
            case _:
                return match_subject(rules, "")

    def _allows(self, rules: tuple[Rule, ...], effect: Effect) -> bool:
        """Whether rules allow the whole of the call, in this mode."""
        match effect:
            case ReadsFiles(paths):
                return allows_paths(rules, paths, self._places.root)
            case ChangesFiles(paths):
                return self.mode != "observe" and allows_paths(rules, paths, self._places.root)
            case Fetches(url):
                return any(not rule.words for rule in rules) or plain_host(url) is not None
            case _:
                return self.mode != "observe"


def _shown(url: str) -> str:
    return plain_host(url) or "an address that can be read in more than one way"
