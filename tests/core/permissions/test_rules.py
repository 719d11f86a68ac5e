"""The user's rules: deny before ask before allow, wherever a command hides; and suggested rules."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from vmpilot.contract import Acts, ChangesFiles, Fetches, ReadsFiles, RunsCommand
from vmpilot.permissions import Decision
from vmpilot.permissions.lexer import lex_line

from .benign_lines import READING
from .conftest import MakePolicy

HIDING = [
    "git push",
    "git push --force origin main",
    "ls && git push",
    "ls; git push",
    "ls | git push",
    "ls\ngit push",
    "git push &",
    "(git push)",
    "{ git push; }",
    "! git push",
    "echo $(git push)",
    "echo `git push`",
    'echo "$(git push)"',
    "cat <(git push)",
    "cat <<E\n$(git push)\nE",
    "echo hi > $(git push)",
    "if true; then git push; fi",
    "for i in 1; do git push; done",
    "f() { git push; }; f",
    "x=$(git push)",
    "export X=$(git push)",
    "[[ -n $(git push) ]]",
    "case $(git push) in x) ;; esac",
    "echo $((1 + $(git push)))",
    "GIT_DIR=x git push",
    "/usr/bin/git push",
    "\\git push",
    "g''it pu\"sh\"",
    "gi\\t push",
    "git \\\n push",
    "sudo git push",
    "sudo -u bob git push",
    "env A=1 git push",
    "env -u A git push",
    "timeout -s KILL 5 git push",
    "nohup nice -n 5 git push",
    "xargs git push",
    "xargs -n 1 git push",
    "command git push",
    "exec git push",
    "busybox git push",
    "find . -exec git push ;",
    "find . -name x -execdir git push {} +",
    "bash -c 'git push'",
    "bash -lc 'ls && git push'",
    "sh -c 'bash -c \"git push\"'",
    "eval git push",
    "eval 'git push'",
    "trap 'git push' EXIT",
    "alias p='git push'",
    "su -c 'git push'",
    "true " + "; true" * 60 + "; git push",
    "$'git' push",
    "ls #\\\ngit push",
    "bash -c $'git push'",
]
UNREADABLE = [
    "$x push",
    "git $x",
    "git -C . push",
    "git --no-pager push",
    "{git,push}",
    "eval $x",
    'bash -c "$x"',
    "echo git push | sh",
    "bash < script",
    "bash <<E\ngit push\nE",
    ". <(echo git push)",
    "python3 -c 'import os'",
    "perl -e 'x'",
    "node -p 1",
    "awk 'BEGIN{system(\"x\")}'",
    "sed 1e x",
    "some-wrapper git push",
    "some-wrapper --run 'git push'",
    "parallel git push",
    "g?t push",
    "git 'push",
    "git push )",
    "$(" * 300 + "ls" + ")" * 300,
    "ls " + "a" * 60_000,
]


@pytest.mark.parametrize("mode", ["operate", "full"])
@pytest.mark.parametrize("line", HIDING, ids=range(len(HIDING)))
def test_a_denied_command_is_found_wherever_it_hides(
    line: str, mode: str, make_policy: MakePolicy, workspace: Path
) -> None:
    effect = RunsCommand(line, workspace)
    assert make_policy(mode, deny=["shell: git push"], allow=["shell"]).decide("shell", effect).action == "deny", line
    assert make_policy(mode, ask=["shell: git push"], allow=["shell"]).decide("shell", effect).action == "ask", line


@pytest.mark.parametrize("line", UNREADABLE, ids=range(len(UNREADABLE)))
def test_in_mode_full_a_command_that_might_be_denied_needs_approval(
    line: str, make_policy: MakePolicy, workspace: Path
) -> None:
    policy = make_policy("full", deny=["shell: git push"])
    assert policy.decide("shell", RunsCommand(line, workspace)).action == "ask"
    assert make_policy("full").decide("shell", RunsCommand(line, workspace)).action == "allow"


@pytest.mark.parametrize(
    "line", ["ls", "git pull", "git diff HEAD~1", "git log $x", "rm x", "grep push git", "[ -f x ]"]
)
def test_other_commands_are_left_alone_by_a_rule_that_denies(
    line: str, make_policy: MakePolicy, workspace: Path
) -> None:
    policy = make_policy("full", deny=["shell: git push"])
    assert policy.decide("shell", RunsCommand(line, workspace)).action == "allow"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("npm test", "allow workspace"),
        ("npm test -- --verbose 2>&1 | tail -5", "allow workspace"),
        ("cd src && npm test && ls", "allow workspace"),
        ("npm test > out.txt", "allow workspace"),
        ("make check", "allow host"),
        ("make check && echo done", "allow host"),
        ("cd src && make check", "allow host"),
        ("make check && ls", "ask host"),
        ("ls; make check", "ask host"),
        ("make check | tail -5", "ask host"),
        ("sed -n 1p a.txt && make check", "ask host"),
        ("make check && echo x > out.txt", "ask host"),
        ("ps aux | make check", "allow host"),
        ("ps aux", "allow host"),
        ("npm test && make check", "ask host"),
        ("make check && touch x", "ask host"),
        ("make check && git log", "ask host"),
        ("npm tests", "ask host"),
        ("npm", "ask host"),
        ("npm run test", "ask host"),
        ("npm test && rm x", "ask host"),
        ("npm test; $(rm x)", "ask host"),
        ("npm test $FOLDER", "ask host"),
        ("npm test &", "ask host"),
        ("npm test > /tmp/x", "ask host"),
        ("npm test > .bashrc", "ask host"),
        ("PATH=. npm test", "ask host"),
        ("./npm test", "ask host"),
        ("sudo npm test", "ask host"),
        ("env npm test", "ask host"),
        ("cd / && npm test", "ask host"),
        ("cd .. && make check", "ask host"),
        ("cat .env && make check", "ask host"),
        ("time npm test", "ask host"),
        ("npm te?t", "ask host"),
        ("git status", "ask host"),
        ("git commit -m x", "deny host"),
    ],
)
def test_rules_on_commands(line: str, expected: str, make_policy: MakePolicy, workspace: Path) -> None:
    policy = make_policy(
        allow=["shell: npm test", "shell: git"],
        allow_on_host=["shell: make check", "shell: ps"],
        ask=["shell: git status"],
        deny=["shell: git commit"],
    )
    decision = policy.decide("shell", RunsCommand(line, workspace))
    assert f"{decision.action} {decision.confinement}" == expected, decision.reason


@pytest.mark.parametrize("separator", [" && ", "; ", " || ", " | ", "\n"])
def test_only_commands_that_a_rule_names_run_on_the_host(
    separator: str, make_policy: MakePolicy, workspace: Path
) -> None:
    policy = make_policy(allow_on_host=["shell: make check", "shell: ls src"])
    sent, builtin = ["make check", "ls src"], ["echo done", "true", "pwd"]
    for first, second in itertools.product([*sent, *builtin, *READING], sent):
        for line in (first + separator + second, second + separator + first):
            decision = policy.decide("shell", RunsCommand(line, workspace))
            parts = lex_line(line) or ()
            programs = [
                part
                for part in parts
                if part.argv[0] not in {":", "[", "[[", "echo", "true", "pwd", "printf", "test", "type", "cd"}
            ]
            if any(" ".join(part.argv) not in sent for part in programs):
                assert (decision.action, decision.confinement) != ("allow", "host"), line
            elif parts and set(parts) == set(programs):
                assert (decision.action, decision.confinement) == ("allow", "host"), line


def test_in_observe_mode_a_rule_allows_reading_on_the_host_but_no_changes(
    make_policy: MakePolicy, workspace: Path
) -> None:
    policy = make_policy("observe", allow=["shell"], allow_on_host=["shell"])
    assert policy.decide("shell", RunsCommand("ps aux", workspace)).action == "allow"
    assert policy.decide("shell", RunsCommand("rm x", workspace)).action == "deny"
    assert policy.decide("other", Acts()).action == "deny"


def test_rules_need_no_sandbox_only_on_the_host(make_policy: MakePolicy, workspace: Path) -> None:
    policy = make_policy(confines=False, allow=["shell: npm test"], allow_on_host=["shell: make check"])
    assert policy.decide("shell", RunsCommand("npm test", workspace)).action == "ask"
    assert policy.decide("shell", RunsCommand("make check", workspace)).action == "allow"


def test_rules_on_files(make_policy: MakePolicy, workspace: Path) -> None:
    policy = make_policy(
        allow=["edit_file: /srv/app", "read_file: .env"],
        deny=["read_file: src", "search_text: src"],
        ask=["edit_file: a"],
    )
    assert policy.decide("edit_file", ChangesFiles((Path("/srv/app/x"),))).action == "allow"
    assert policy.decide("edit_file", ChangesFiles((Path("/srv/app/x"), Path("/srv/other")))).action == "ask"
    assert policy.decide("edit_file", ChangesFiles((Path("/srv/application"),))).action == "ask"
    assert policy.decide("edit_file", ChangesFiles((workspace / "a",))).action == "ask"
    assert policy.decide("read_file", ReadsFiles((workspace / ".env",))).action == "allow"
    assert policy.decide("read_file", ReadsFiles((workspace / "src/a.py",))).action == "deny"
    assert policy.decide("search_text", ReadsFiles((workspace,), below=True)).action == "ask"
    assert policy.decide("search_text", ReadsFiles((workspace / "sub",), below=True)).action == "allow"


@pytest.mark.parametrize(
    ("url", "action"),
    [
        ("https://docs.python.org/3/", "allow"),
        ("http://DOCS.python.org.:8080/3?x=1", "allow"),
        ("https://bad.example/x", "deny"),
        ("https://docs.python.org.evil.example/", "ask"),
        ("https://docs.python.org@evil.example/", "ask"),
        ("https://evil.example\\@docs.python.org/", "ask"),
        ("https://docs.python.org\t.evil.example/", "ask"),
        ("//docs.python.org/", "ask"),
    ],
)
def test_rules_on_hosts(url: str, action: str, make_policy: MakePolicy) -> None:
    policy = make_policy(allow=["web_fetch: docs.python.org"], deny=["web_fetch: bad.example"])
    assert policy.decide("web_fetch", Fetches(url)).action == action


def test_rules_on_other_tools(make_policy: MakePolicy) -> None:
    policy = make_policy(allow=["mcp__x__y", "github: issue create"], deny=["github: issue create secret"])
    assert policy.decide("mcp__x__y", Acts("anything")).action == "allow"
    assert policy.decide("mcp__x__z", Acts("anything")).action == "ask"
    assert policy.decide("github", Acts("issue create 4")).action == "allow"
    assert policy.decide("github", Acts("issue creates")).action == "ask"
    assert policy.decide("github", Acts("issue create secret")).action == "deny"


@pytest.mark.parametrize(
    ("line", "suggested_rules"),
    [
        ("npm test", ("shell: npm test $",)),
        ("npm test && ./x.sh 'a b'", ("shell: npm test $", "shell: ./x.sh 'a b' $")),
        ("ls && npm run build", ("shell: ls $", "shell: npm run build $")),
        ("cd src && npm run build", ("shell: npm run build $",)),
        ("ps aux", ("shell: ps aux $",)),
        *[(line, ()) for line in ("bash -c ls", "python3 x.py", "python3.11 x.py", "sudo ls", "env ls", "xargs rm")],
        *[(line, ()) for line in ("find . -exec rm x", "npm test $X", "npm test src/*.py", "npm test && python3 x")],
        *[
            (line, ())
            for line in ("cat .env", "rm x", "git -C x push", "docker run x", "npx x", "git", "ssh h ls", "x=1")
        ],
        *[(line, ()) for line in ("npm test > /tmp/x", "timeout 5 ls", "perl x", "eval x", "export A=1", "npm exec x")],
    ],
)
def test_suggested_rules(line: str, suggested_rules: tuple[str, ...], make_policy: MakePolicy, workspace: Path) -> None:
    decision = make_policy().decide("shell", RunsCommand(line, workspace))
    assert (decision.action, decision.suggested_rules) == ("ask", suggested_rules)


@pytest.mark.parametrize("more", ["git fetch --upload-pack=x .", "git fetch origin", "git", "git fetch --all"])
def test_a_saved_rule_is_for_exactly_this_command(more: str, make_policy: MakePolicy, workspace: Path) -> None:
    kept = list(make_policy().decide("shell", RunsCommand("git fetch", workspace)).suggested_rules)
    assert kept == ["shell: git fetch $"]
    policy = make_policy(allow_on_host=kept)
    assert policy.decide("shell", RunsCommand("git fetch", workspace)).confinement == "host"
    assert policy.decide("shell", RunsCommand("git fetch", workspace)).action == "allow"
    assert policy.decide("shell", RunsCommand(more, workspace)).action == "ask"


def test_an_exact_rule_may_deny_too(make_policy: MakePolicy, workspace: Path) -> None:
    policy = make_policy("full", deny=["shell: npm publish $"])
    assert policy.decide("shell", RunsCommand("npm publish", workspace)).action == "deny"
    assert policy.decide("shell", RunsCommand("npm publish --dry-run", workspace)).action != "deny"


def test_a_saved_rule_allows_the_same_call(make_policy: MakePolicy, workspace: Path) -> None:
    effect = RunsCommand("npm test && ./x.sh 'a b' && ls", workspace)
    suggested_rules = list(make_policy().decide("shell", effect).suggested_rules)
    assert make_policy(allow_on_host=suggested_rules).decide("shell", effect).action == "allow"


def test_suggested_rules_for_other_calls(make_policy: MakePolicy, workspace: Path) -> None:
    def always(tool: str, decision: Decision) -> tuple[str, ...]:
        assert decision.action == "ask", tool
        return decision.suggested_rules

    policy = make_policy()
    files = ChangesFiles((Path("/srv/app/x"), Path("/srv/app/y")))
    assert always("edit", policy.decide("edit_file", files)) == ("edit_file: /srv/app",)
    assert always("top", policy.decide("edit_file", ChangesFiles((Path("/x"),)))) == ()
    assert always("hidden", policy.decide("edit_file", ChangesFiles((workspace / ".git/config",)))) == ()
    assert always("secret", policy.decide("read_file", ReadsFiles((workspace / ".env",)))) == ()
    assert always("search", policy.decide("search_text", ReadsFiles((Path("/srv"),), below=True))) == (
        "search_text: /srv",
    )
    assert always("fetch", policy.decide("web_fetch", Fetches("https://a.example/x"))) == ("web_fetch: a.example",)
    assert always("odd", policy.decide("web_fetch", Fetches("https://a@b.example/"))) == ()
    assert always("mcp", policy.decide("mcp__a__b", Acts())) == ("mcp__a__b",)
    assert always("acts", policy.decide("github", Acts("issue create"))) == ("github: issue create",)
