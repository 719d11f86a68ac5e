"""Times the permission policy's decisions on shell lines: `python bench/gate.py`. The lines are not run.

Each line is new to the policy each time, like a model's lines; remembered decisions are measured separately.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from vmpilot.contract import RunsCommand
from vmpilot.permissions import PermissionPolicy, Rules

AIM = 15.0  # ms
ROUNDS = 60

LINES = {
    "reads": "grep -rn 'def main' --include=*.py src | head -50",
    "reads, five commands": "cd src && ls -la && cat a.py | sort | uniq -c; wc -l a.py",
    "changes the workspace": "mkdir -p build && cp a.txt build/b.txt && echo done > build/log.txt",
    "unknown program": "npm test -- --verbose",
    "script": 'for f in *.py; do python3 -m py_compile "$f" || echo "$f"; done',
    "here-document, 20 kB": "cat > notes.txt <<'EOF'\n" + "one line of text\n" * 1_200 + "EOF",
}
RULES = Rules.read(deny=["shell: git push", "shell: rm"], allow=["shell: npm test"])


def main() -> None:
    """Print a table of milliseconds."""
    print(f"| milliseconds a line (aim: under {AIM:.0f}) | median | p95 |\n|---|---|---|")
    for rules, remark in ((Rules(), ""), (RULES, ", with rules that deny")):
        for name, line in LINES.items():
            print_row(f"{name}{remark}", measure(line, rules, fresh=True))
    print_row("reads, remembered", measure(LINES["reads"], RULES, fresh=False))


def measure(line: str, rules: Rules, *, fresh: bool) -> list[float]:
    """Milliseconds of each decision, sorted, without the first ones, which load the parsers."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        root = Path(folder)
        policy = PermissionPolicy("operate", workspace=root, rules=rules, confines=lambda: True)
        times = []
        for number in range(ROUNDS + 3):
            text = f"{line} x{number}" if fresh and "\n" not in line else line.replace("one line", f"line {number}")
            began = time.perf_counter()
            policy.decide("shell", RunsCommand(text, root))
            times.append(1_000 * (time.perf_counter() - began))
    return sorted(times[3:])


def print_row(name: str, times: list[float]) -> None:
    """One line of the table; a cross marks a 95th percentile above the aim."""
    p95 = times[int(0.95 * len(times))]
    print(f"| {name} | {statistics.median(times):.1f} | {p95:.1f} {'✓' if p95 < AIM else '✗'} |")


if __name__ == "__main__":
    main()
