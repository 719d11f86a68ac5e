"""A rule that denies a program holds in mode full, however a line would run it; bash is the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmpilot.contract import RunsCommand
from vmpilot.permissions import Decision, PermissionPolicy, Rules
from vmpilot.permissions.parsers import BashPrinter
from vmpilot.permissions.shfmt_parser import ParserFailed

from .denied_lines import BENIGN, QUOTING, UNEVALUATED, DeniedLineMaker, every_line
from .marker_oracle import MarkerOracle

SEEDS = [1, 20_261_123]
EVERYDAY = [
    "ls -la",
    "cat a.txt | grep one | wc -l",
    "echo hello > out.txt && cat out.txt",
    "mkdir -p build/x && cp a.txt build/x/ && mv build/x/a.txt build/x/b.txt",
    "git status && git diff HEAD~1 && git add -A && git commit -m 'one' && git pull --rebase",
    "git push -u origin main",
    "git -C .. log --oneline -5 | head -3",
    "find . -name '*.py' -exec grep -l import {} + | sort | uniq -c",
    "find . -type f -print0 | xargs -0 grep -n one",
    'for f in *.txt; do echo "$f"; head -1 "$f"; done',
    'if [ -f a.txt ] && [ ! -d "$HOME/x" ]; then echo yes; else echo no; fi',
    'name=$(basename "$PWD"); echo "in $name, ${name%.*}, ${#name}"',
    'OUT=/tmp/x; ls > "$OUT" 2>&1; echo $?',
    'while read -r line; do echo "- $line"; done < a.txt',
    "set -euo pipefail; ls | head",
    "cat > out.txt <<'EOF'\n$(not run) `nor this`\nEOF",
    "cat <<EOF\nuser $USER in $(pwd)\nEOF",
    "sed -n '1,5p' a.txt; sed -i 's/one/two/g' a.txt; awk '{print $1}' a.txt",
    "sudo -n ls /root; timeout 5 cat a.txt; LC_ALL=C sort a.txt",
    "bash -c 'ls && echo done'",
    "curl -sSL https://example.org/x -o x.html",
    "ps aux | grep python; df -h; du -sh .; uname -a; date; free -m",
    "python3 --version; command -v node; which git; type ls",
    'greet() { echo "hi $1"; }; greet you',
    "trap 'echo bye' EXIT; ls",
    "[[ -n $PATH && $PATH == *bin* ]] && echo found",
    "test -d src || mkdir src",
    "echo $((1 + 2)) {a,b} ~ $'tab\\t'",
    "ls & wait",
    "ps aux | awk '{print $2}' | sort -n | tail -1",
]
"""Lines that a rule on another program does not affect."""
UNKNOWN = {
    "pytest -q": "pytest",
    "make test": "make",
    "npm test": "npm",
    "python3 script.py": "python3",
    "bash script.sh": "bash",
    "./run.sh": "./run.sh",
    ". venv/bin/activate": ".",
    "pip install x": "pip",
    "docker run x": "docker",
    "tar xf x.tar": "tar",
    "ssh host ls": "ssh",
    "sudo make install": "make",
    "ls && cd src && cargo build": "cargo",
    "/tmp/ls": "/tmp/ls",
    "find . -name x -exec pytest {} ;": "pytest",
    "git foo": "git",
}
"""Commands whose programs may run others, and the program that must be named to allow them."""


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> MarkerOracle:
    return MarkerOracle(tmp_path_factory.mktemp("denied"))


def _policy(oracle: MarkerOracle, **rules: list[str]) -> PermissionPolicy:
    path = f"{oracle.bin}:/usr/bin:/bin"
    return PermissionPolicy(
        "full", workspace=oracle.root, rules=Rules.read(**rules), confines=lambda: True, search_path=path
    )


def _decide(policy: PermissionPolicy, line: str) -> Decision:
    return policy.decide("shell", RunsCommand(line, Path("/")))


@pytest.mark.parametrize(("kind", "step"), [("deny", 1), ("ask", 10)])
def test_no_way_to_run_a_denied_program_is_let_through(kind: str, step: int, oracle: MarkerOracle) -> None:
    policy = _policy(oracle, **{kind: ["shell: zap"]})
    assert [line for line in every_line(str(oracle.bin))[::step] if _decide(policy, line).action == "allow"] == []


def test_most_ways_do_run_the_program(oracle: MarkerOracle) -> None:
    """Some need programs or privileges that this machine may not have, hence the share."""
    lines = every_line(str(oracle.bin))[::9]
    ran = [line for line in lines if oracle.runs_marker(line)]
    assert len(ran) > len(lines) * 0.6


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_let_through_does_not_run_the_denied_program(
    seed: int, oracle: MarkerOracle, fuzz_count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, maker = _policy(oracle, deny=["shell: zap"]), DeniedLineMaker(seed, str(oracle.bin))
    lines = [maker.make_line() for _ in range(fuzz_count // 5)]
    allowed = [line for line in lines if _decide(policy, line).action == "allow"]
    wrong = [line for line in allowed if oracle.runs_marker(line)]
    with capsys.disabled():
        print(f"[seed {seed}: {len(lines)} lines, {len(allowed)} let through, {len(wrong)} ran it]", end="")
    assert len(allowed) > len(lines) / 20
    assert wrong == []


@pytest.mark.parametrize("line", EVERYDAY)
def test_everyday_commands_run_beside_a_rule_that_denies(line: str, oracle: MarkerOracle) -> None:
    decision = _decide(_policy(oracle, deny=["shell: rm"]), line)
    assert decision.action == "allow", decision.reason


@pytest.mark.parametrize("line", [line.format() for line in (*BENIGN, *QUOTING)])
def test_a_denied_name_may_be_mentioned(line: str, oracle: MarkerOracle) -> None:
    decision = _decide(_policy(oracle, deny=["shell: zap"]), line)
    assert decision.action == "allow", decision.reason


def test_text_that_is_not_evaluated_runs_and_is_harmless(oracle: MarkerOracle) -> None:
    policy = _policy(oracle, deny=["shell: zap"])
    lines = [line.format(q="'a[$(zap)]'") for line in UNEVALUATED]
    assert [line for line in lines if _decide(policy, line).action != "allow"] == []
    assert [line for line in lines if oracle.runs_marker(line)] == []


@pytest.mark.parametrize(("line", "program"), UNKNOWN.items())
def test_a_program_that_may_run_others_needs_approval_until_it_is_allowed(
    line: str, program: str, oracle: MarkerOracle
) -> None:
    decision = _decide(_policy(oracle, deny=["shell: rm"]), line)
    assert decision.action == "ask"
    assert f'add "shell: {program}" to allow' in decision.reason
    assert _decide(_policy(oracle, deny=["shell: rm"], allow=["shell"]), line).action == "ask"
    assert (
        _decide(_policy(oracle, deny=["shell: rm"], allow=[f"shell: x{program}", "shell: run.sh"]), line).action
        == "ask"
    )
    for kind in ("allow", "allow_on_host"):
        assert _decide(_policy(oracle, deny=["shell: rm"], **{kind: [f"shell: {program}"]}), line).action == "allow"
    assert _decide(_policy(oracle), line).action == "allow"
    assert _decide(_policy(oracle, deny=["read_file: /x"]), line).action == "allow"


@pytest.mark.parametrize(
    "line", ["python3 -c 'x'", 'bash -c "$x"', 'eval "$x"', "pytest; rm x", "pytest rm", "python3 x | sh"]
)
def test_an_allowed_program_hides_nothing_else(line: str, oracle: MarkerOracle) -> None:
    policy = _policy(
        oracle, deny=["shell: rm"], allow=["shell: python3", "shell: bash", "shell: eval", "shell: pytest"]
    )
    assert _decide(policy, line).action != "allow"


def test_a_rule_can_be_saved_for_a_program_that_may_run_others(oracle: MarkerOracle) -> None:
    suggested_rules = _decide(_policy(oracle, deny=["shell: rm"]), "cd src && pytest -q | tail -3").suggested_rules
    assert suggested_rules == ("shell: pytest -q $",)
    policy = _policy(oracle, deny=["shell: rm"], allow_on_host=list(suggested_rules))
    assert _decide(policy, "cd src && pytest -q | tail -3").action == "allow"
    assert _decide(policy, "pytest -x").action == "ask"
    assert _decide(_policy(oracle, deny=["shell: rm"]), 'pytest "$x"').suggested_rules == ()


@pytest.mark.parametrize(
    ("rule", "line", "action"),
    [
        ("/bin/rm", "rm x", "ask"),
        ("/bin/rm", "/usr/bin/rm x", "ask"),
        ("/bin/rm", "/bin/rm x", "deny"),
        ("rm", "/usr/bin/rm x", "deny"),
        ("rm -rf", "rm -fr x", "ask"),
        ("rm -rf", "rm -r -f x", "ask"),
        ("rm -rf", "rm --recursive --force x", "ask"),
        ("rm -rf", "rm -r x", "allow"),
        ("git push --force", "git push -f", "ask"),
        ("git push --force", "git push --forc", "ask"),
        ("git push --force", "git push --tags", "allow"),
        ("git push", "git -c a=b push", "ask"),
        ("egrep", "egrep x", "deny"),
        ("rm", "exec -a rm ls x", "deny"),  # if ls and rm are one program, as in busybox
        ("grep", "egrep x", "deny"),
    ],
)
def test_other_spellings_of_what_a_rule_names(rule: str, line: str, action: str, oracle: MarkerOracle) -> None:
    assert _decide(_policy(oracle, deny=[f"shell: {rule}"]), line).action == action


def test_without_a_trusted_bash_everything_needs_approval(tmp_path: Path) -> None:
    def decide(search_path: str) -> str:
        rules = Rules.read(deny=["shell: rm"])
        policy = PermissionPolicy(
            "full", workspace=tmp_path, rules=rules, confines=lambda: True, search_path=search_path
        )
        return policy.decide("shell", RunsCommand("ls", tmp_path)).action

    (tmp_path / "bash").write_text("#!/bin/sh\ntouch ran\n")
    (tmp_path / "bash").chmod(0o755)
    assert decide("/usr/bin:/bin") == "allow"
    assert decide("/nonexistent") == "ask"
    assert decide(f"{tmp_path}:/usr/bin:/bin") == "ask"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bash"]


@pytest.mark.parametrize(
    "line",
    [
        "touch ran",
        "$(touch ran)",
        "cat <<E\n$(touch ran)\nE",
        "x=$(touch ran)",
        "((a[$(touch ran)]))",
        "touch ran\n)",
        "\\\n",
    ],
)
def test_parsing_a_line_with_bash_runs_nothing(line: str, tmp_path: Path) -> None:
    marked = line.replace("ran", str(tmp_path / "ran"))
    printed = BashPrinter().print_line(marked)
    assert printed is None or "touch" in printed or line == "\\\n"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_bash_is_an_error() -> None:
    with pytest.raises(ParserFailed, match="bash is not installed"):
        BashPrinter("/nonexistent").print_line("ls")


@pytest.mark.parametrize("name", ["'a\nb'", "'a\tb'", "'$x'", "'a b'", "'\u00e9'", "''"])
def test_an_odd_name_of_a_program_is_explained_on_one_line(name: str, oracle: MarkerOracle) -> None:
    decision = _decide(_policy(oracle, deny=["shell: rm"]), f"{name} x")
    assert decision.action == "ask"
    assert decision.reason.isprintable()
