"""The permission modes and rules: what runs by itself, what is asked about, what is denied. Runs nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import assert_never

from vmpilot.contract import Acts, ChangesFiles, Effect, Fetches, LooksUp, ReadsFiles, RunsCommand
from vmpilot.machine.workspace import show_name
from vmpilot.permissions.decision import Decision, Mode, apply_rules, ask_or_deny
from vmpilot.permissions.path_rules import PathRules
from vmpilot.permissions.rule_syntax import Rule
from vmpilot.permissions.rules import (
    Match,
    Rules,
    allows_paths,
    match_host,
    match_paths,
    match_subject,
    plain_host,
    rules_for_tool,
)
from vmpilot.permissions.shell_policy import ShellPolicy
from vmpilot.permissions.suggested_rules import suggest_folder_rules, suggest_host_rules, suggest_subject_rules


class PermissionPolicy:
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
        self._paths = PathRules(workspace, own, private=private, search_path=search_path, home=home)
        self._shell = ShellPolicy(mode, paths=self._paths, rules=rules, confines=confines, search_path=search_path)

    def keep(self, rules: Rules) -> None:
        """Go by these rules, too, from here on."""
        self._rules += rules
        self._shell.rules = self._rules

    def decide(self, tool: str, effect: Effect) -> Decision:
        """The decision on one call of a tool, and on what it would do."""
        if isinstance(effect, RunsCommand):
            return self._shell.decide(effect)
        decision = self._decide_by_mode(tool, effect)
        deny, ask, allow = (
            self._match(rules_for_tool(rules, tool), effect)
            for rules in (self._rules.deny, self._rules.ask, self._rules.allow)
        )
        if decision.action != "allow" and allow and self._allows(rules_for_tool(self._rules.allow, tool), effect):
            decision = Decision("allow", f'the rule "{allow.rule.written}" allows it', exclusive=decision.exclusive)
        return apply_rules(decision, deny=deny, ask=ask)

    def _decide_by_mode(self, tool: str, effect: Effect) -> Decision:
        match effect:
            case ReadsFiles():
                return self._decide_reading(tool, effect)
            case ChangesFiles(paths):
                return self._decide_changes(tool, paths)
            case LooksUp():
                return Decision("allow", "it only looks something up", exclusive=False)
            case Fetches(url):
                return ask_or_deny(
                    self.mode,
                    f"it sends a request to {_shown(url)}",
                    exclusive=False,
                    suggested_rules=suggest_host_rules(tool, url),
                )
            case Acts(subject):
                return ask_or_deny(
                    self.mode, "it may change something", suggested_rules=suggest_subject_rules(tool, subject)
                )
            case RunsCommand():
                return self._shell.decide(effect)
            case _:
                assert_never(effect)

    def _decide_reading(self, tool: str, effect: ReadsFiles) -> Decision:
        against = self._paths.objection_to_searching if effect.below else self._paths.objection_to_reading
        reasons = [reason for path in effect.paths if (reason := against(str(path)))]
        if not reasons:
            return Decision("allow", "it only reads", exclusive=False)
        offers = all(self._paths.objection_to_reading(str(path)) is None for path in effect.paths)
        suggested_rules = (
            tuple(rule for path in effect.paths for rule in suggest_subject_rules(tool, str(path))) if offers else ()
        )
        return ask_or_deny(self.mode, show_name(reasons[0]), exclusive=False, suggested_rules=suggested_rules)

    def _decide_changes(self, tool: str, paths: tuple[Path, ...]) -> Decision:
        reasons = [reason for path in paths if (reason := self._paths.objection_to_changing(str(path)))]
        if not reasons and paths and self.mode != "observe":
            return Decision("allow", "mode full" if self.mode == "full" else "it only changes the workspace")
        offers = not any(self._paths.objection_to_reading(str(path)) for path in paths)
        return ask_or_deny(
            self.mode,
            show_name(reasons[0]) if reasons else "it changes files",
            suggested_rules=suggest_folder_rules(tool, paths) if offers else (),
        )

    def _match(self, rules: tuple[Rule, ...], effect: Effect) -> Match | None:
        match effect:
            case ReadsFiles(paths, below):
                return match_paths(rules, paths, self._paths.root, below=below)
            case ChangesFiles(paths):
                return match_paths(rules, paths, self._paths.root)
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
                return allows_paths(rules, paths, self._paths.root)
            case ChangesFiles(paths):
                return self.mode != "observe" and allows_paths(rules, paths, self._paths.root)
            case Fetches(url):
                return any(not rule.words for rule in rules) or plain_host(url) is not None
            case _:
                return self.mode != "observe"


def _shown(url: str) -> str:
    return plain_host(url) or "an address that can be read in more than one way"
