"""The actions of `vmpilot backends`."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import textwrap
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmpilot.cli._options import given_settings
from vmpilot.cli._style import Style, printable
from vmpilot.cli._table import print_table, terminal_width
from vmpilot.config import current_environment, load_settings
from vmpilot.contract import BackendError, UsageError
from vmpilot.plugins import SHIPPED, DescribedBackend, choose_backend, describe_backends, installed_backends
from vmpilot.scaffold import choose_names, write_package

if TYPE_CHECKING:
    from vmpilot.testing.conformance import Report, Result

_WIDEST = 100


def list_backends(arguments: argparse.Namespace) -> int:
    """Print a row per installed backend; exit code 5 if none can be used. None is imported into this process."""
    loaded = load_settings(
        current_environment(), folder=Path(arguments.cwd).resolve(), options=given_settings(arguments)
    )
    installed = installed_backends()
    described = describe_backends(installed)
    try:
        choice = choose_backend(installed, loaded.settings.backend, asked_by=loaded.origins.get("backend", ""))
        chosen, why, problem = choice.backend, choice.why, ""
        problem = next((one.problem for one in described if one.installed == chosen), "")
    except BackendError as error:
        chosen, why, problem = None, "", str(error)
    rows = [_row(one, why if one.installed == chosen else None) for one in described]
    if arguments.output == "json":
        print(json.dumps(rows))
    else:
        _print_rows(rows)
    if problem:
        print(printable(f"vmpilot: {problem}"), file=sys.stderr)
        return BackendError.exit_code
    return 0


def _row(one: DescribedBackend, why: str | None) -> dict[str, Any]:
    """A backend as in the JSON; `why` is None unless it is the chosen one."""
    from vmpilot.testing.conformance import LEVELS

    claimed = one.info.capabilities if one.info else frozenset()
    return {
        "name": one.installed.name,
        "distribution": one.installed.distribution,
        "version": one.installed.version,
        "contract_version": one.info.contract_version if one.info else None,
        "levels": [*(level for level in LEVELS if level in claimed), *sorted(claimed - set(LEVELS))],
        "chosen": why is not None,
        "note": f"chosen: {why}" if why is not None else "",
        "problem": one.problem or None,
    }


def _print_rows(rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        print_table([_cells(row) for row in rows])
    for row in rows:
        if row["problem"] and not row["chosen"]:
            _print_wrapped(f"{row['name']}: {row['problem']}", indent="  ")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    from vmpilot.testing.conformance import LEVELS

    levels = row["levels"]
    claims = "all levels" if tuple(levels) == LEVELS else ", ".join(levels) or "no level"
    state = " ".join(part for part in ("broken" if row["problem"] else "", row["note"]) if part)
    return (
        row["name"],
        state,
        "" if row["problem"] else f"contract {row['contract_version']}",
        "" if row["problem"] else claims,
        f"{row['distribution']} {row['version']}",
    )


def check_backend(arguments: argparse.Namespace) -> int:
    """Run the conformance suite on a backend; exit code 1 if it fails a level that it claims."""
    from vmpilot.testing.conformance import LEVELS, find_backend, find_cases, load_subject, make_report, run_cases

    if unknown := [level for level in arguments.level if level not in LEVELS]:
        raise UsageError(f"Unknown level {unknown[0]!r:.40}. The levels are: {', '.join(LEVELS)}.")
    model = _find_scripted_model(arguments.scripted_model)
    installed = find_backend(arguments.name)
    (described,) = describe_backends([installed])
    if described.problem:  # including a backend whose import hangs or exits
        raise BackendError(described.problem)
    subject = load_subject(installed, model)
    cases = find_cases(arguments.level)
    with _open_json(arguments.json) as file:
        info = subject.backend.info
        if file is not sys.stdout:
            print(printable(f"{info.name} {info.version} ({installed.distribution}), contract {info.contract_version}"))
        with closing(_with_progress(run_cases(subject, cases, repeat=arguments.repeat), len(cases))) as results:
            report = make_report(info, list(results))
        if file is not None:
            file.write(json.dumps(report.as_json(), indent=2) + "\n")
        if file is not sys.stdout:
            _print_report(report, whole=bool(arguments.level))
    return 0 if report.holds else 1


def _find_scripted_model(place: str | None) -> Any:
    """The scripted model at `MODULE:NAME`; None means the scripted server. Raises `UsageError`."""
    from vmpilot.testing import ServedModel

    if place is None:
        return ServedModel
    module, colon, name = place.partition(":")
    try:
        found = getattr(import_module(module), name) if colon else None
    except (ImportError, ValueError, AttributeError) as error:
        raise UsageError(f"Cannot find --scripted-model {place!r}: {error}") from error
    if not callable(found):
        raise UsageError(f"--scripted-model {place!r} must be MODULE:NAME of a function that returns a scripted model")
    return found


def _open_json(path: str | None) -> Any:
    """Where the JSON report goes; a file is opened before anything runs, so that no run is wasted."""
    if path is None:
        return nullcontext(None)
    if path == "-":
        return nullcontext(sys.stdout)
    try:
        return Path(path).open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}") from error


def _with_progress(results: Iterator[Result], count: int) -> Generator[Result, None, None]:
    """The results, with a progress line on a terminal."""

    def show(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    try:
        for done, result in enumerate(results, 1):
            show(f"{done}/{count} {result.case.id}")
            yield result
    finally:
        show("")


def _print_report(report: Report, *, whole: bool) -> None:
    """The table and the failures; `whole` includes the details of failures in levels that are not claimed."""
    style = Style(enabled=sys.stdout.isatty())
    rows = [("level", "cases", "claimed", "")]
    for level in report.levels:
        skipped = f" ({level.skipped} skipped)" if level.skipped else ""
        cases = f"{level.passed}/{len(level.results)}{skipped}"
        rows.append((level.level, cases, "yes" if level.claimed else "no", "passed" if level.holds else "failed"))
    print_table(rows)
    claimed = {level.level for level in report.levels if level.claimed}
    for failure in report.failures:
        if whole or failure.case.level in claimed:
            _print_failure(failure, style, claimed=failure.case.level in claimed)
    others = [failure.case.id for failure in report.failures if failure.case.level not in claimed]
    if others and not whole:
        print()
        _print_wrapped(f"Failed in levels that are not claimed (details with --level): {', '.join(others)}", indent="")
    print(f"\n{style.bold(_verdict(report))}")


def _print_failure(failure: Result, style: Style, *, claimed: bool) -> None:
    print()
    print(style.bold(f"Failed: {failure.case.id}" + ("" if claimed else " (in a level that is not claimed)")))
    _print_wrapped(failure.case.sentence, indent="  ")
    _print_wrapped(f"expected: {failure.expected}", indent="  ")
    _print_wrapped(f"got: {failure.came}", indent="  ")
    _print_wrapped(f"see: docs/{failure.case.where}", indent="  ")


def _print_wrapped(text: str, *, indent: str) -> None:
    width = min(terminal_width() or _WIDEST, _WIDEST)
    for line in textwrap.wrap(
        printable(" ".join(text.split())),
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    ):
        print(line)


def _verdict(report: Report) -> str:
    claimed = [level for level in report.levels if level.claimed]
    if not claimed:
        return "The backend claims none of these levels, so it cannot fail them."
    missed = [level.level for level in claimed if not level.holds]
    return f"Failed levels: {', '.join(missed)}." if missed else "All claimed levels passed."


def create_backend(arguments: argparse.Namespace) -> int:
    """Write a package with a new backend, and print what was written and the next commands."""
    names = choose_names(arguments.name, taken={*SHIPPED, *(backend.name for backend in installed_backends())})
    folder = Path(arguments.cwd, arguments.dir or names.distribution)
    written = write_package(names, folder)
    if arguments.output == "json":
        print(json.dumps({"name": names.backend, "folder": str(folder.resolve()), "files": [*map(str, written)]}))
        return 0
    lines = [
        f"{folder}/",
        *(f"  {path}" for path in written),
        "Created a working backend. Next:",
        f"  pip install -e {shlex.quote(str(folder) if folder.is_absolute() else f'./{folder}')}",
        f"  vmpilot backends check {names.backend}",
        f'  vmpilot --backend {names.backend} "how much memory is free?"',
    ]
    print(printable("\n".join(lines)))
    return 0
