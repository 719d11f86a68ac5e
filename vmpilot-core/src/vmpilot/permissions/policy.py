"""The permission modes and rules: what runs unasked, what needs approval, what is denied. Runs nothing itself."""

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

    Reading is allowed in every mode, except where secrets may be. Changes inside the workspace are allowed in operate
    mode; anything else needs approval there, is allowed in full mode, and denied in observe mode. Rules come before the
    mode: deny, then ask, then allow. `confines` tells whether a sandbox works: without one, the mode allows no shell
    command. `own` are VMPilot's folders, not changed unasked; `private` files and folders are not read unasked, either.
    `search_path` is the PATH of commands: a program inside the workspace is not trusted by its name. `home` is their
    HOME, for `~`; empty if unknown. Not thread-safe.
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
        """Apply these rules, too, from now on."""
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
            decision = Decision("allow", f'Rule "{allow.rule.written}" allows it', exclusive=decision.exclusive)
        return apply_rules(decision, deny=deny, ask=ask)

    def _decide_by_mode(self, tool: str, effect: Effect) -> Decision:
        match effect:
            case ReadsFiles(paths, below):
                return self._decide_reading(tool, paths, below=below)
            case ChangesFiles(paths):
                return self._decide_changes(tool, paths)
            case LooksUp():
                return Decision("allow", "Only looks something up", exclusive=False)
            case Fetches(url):
                reason = f"Sends a request to {plain_host(url) or 'an ambiguous address'}"
                rules = suggest_host_rules(tool, url)
                return ask_or_deny(self.mode, reason, exclusive=False, suggested_rules=rules)
            case Acts(subject):
                rules = suggest_subject_rules(tool, subject)
                return ask_or_deny(self.mode, "May change something", suggested_rules=rules)
            case RunsCommand():
                return self._shell.decide(effect)
            case _:
                assert_never(effect)

    def _decide_reading(self, tool: str, paths: tuple[Path, ...], *, below: bool) -> Decision:
        objection = self._paths.objection_to_searching if below else self._paths.objection_to_reading
        reasons = [reason for path in paths if (reason := objection(str(path)))]
        if not reasons:
            return Decision("allow", "Read-only", exclusive=False)
        suggested_rules: tuple[str, ...] = ()
        if not any(map(self._paths.objection_to_reading, map(str, paths))):
            suggested_rules = tuple(rule for path in paths for rule in suggest_subject_rules(tool, str(path)))
        return ask_or_deny(self.mode, show_name(reasons[0]), exclusive=False, suggested_rules=suggested_rules)

    def _decide_changes(self, tool: str, paths: tuple[Path, ...]) -> Decision:
        reasons = [reason for path in paths if (reason := self._paths.objection_to_changing(str(path)))]
        if not reasons and paths and self.mode != "observe":
            return Decision("allow", "Full mode" if self.mode == "full" else "Changes only the workspace")
        secret = any(self._paths.objection_to_reading(str(path)) for path in paths)
        return ask_or_deny(
            self.mode,
            show_name(reasons[0]) if reasons else "Changes files",
            suggested_rules=() if secret else suggest_folder_rules(tool, paths),
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
        """Whether rules allow the whole call, in this mode."""
        match effect:
            case ReadsFiles(paths):
                return allows_paths(rules, paths, self._paths.root)
            case ChangesFiles(paths):
                return self.mode != "observe" and allows_paths(rules, paths, self._paths.root)
            case Fetches(url):
                return any(not rule.words for rule in rules) or plain_host(url) is not None
            case _:
                return self.mode != "observe"
