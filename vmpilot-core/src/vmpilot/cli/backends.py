"""`vmpilot backends list` and `vmpilot backends check`: which engines are there, and what they can be relied on for."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from vmpilot.cli._options import given_settings
from vmpilot.cli._style import Style, printable
from vmpilot.cli._table import print_table, terminal_width
from vmpilot.config import current_environment, load_settings
from vmpilot.contract import BackendError, BackendInfo, UsageError
from vmpilot.plugins import DescribedBackend, choose_backend, describe_backends, installed_backends

if TYPE_CHECKING:
    from vmpilot.testing.conformance import Report, Result

_WIDEST = 100


def list_backends(options: argparse.Namespace) -> int:
    """A row for each installed backend; exit code 5 where none can be used. None is imported here."""
    sourced = load_settings(current_environment(), folder=Path(options.cwd).resolve(), options=given_settings(options))
    installed = installed_backends()
    described = describe_backends(installed)
    try:
        choice = choose_backend(installed, sourced.settings.backend, asked_by=sourced.origins.get("backend", ""))
        chosen, why, problem = choice.backend, choice.why, ""
        problem = next((one.problem for one in described if one.installed == chosen), "")
    except BackendError as error:
        chosen, why, problem = None, "", str(error)
    rows = [_row(one, why if one.installed == chosen else None) for one in described]
    if options.output == "json":
        print(json.dumps(rows))
    else:
        _print_rows(rows)
    if problem:
        print(printable(f"vmpilot: {problem}"), file=sys.stderr)
        return BackendError.exit_code
    return 0


def _row(one: DescribedBackend, why: str | None) -> dict[str, Any]:
    """A backend as the JSON has it; `why` is None for one that is not chosen."""
    return {
        "name": one.installed.name,
        "distribution": one.installed.distribution,
        "version": one.installed.version,
        "contract_version": one.info.contract_version if one.info else None,
        "levels": _sorted_levels(one.info),
        "chosen": why is not None,
        "note": f"chosen: {why}" if why is not None else "",
        "problem": one.problem or None,
    }


def _sorted_levels(info: BackendInfo | None) -> list[str]:
    from vmpilot.testing.conformance import LEVELS

    claimed = info.capabilities if info else frozenset()
    return [*(level for level in LEVELS if level in claimed), *sorted(claimed - set(LEVELS))]


def _print_rows(rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        print_table([_cells(row) for row in rows])
    for row in rows:
        if row["problem"] and not row["chosen"]:
            _print_wrapped(f"{row['name']}: {row['problem']}", indent="  ")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    levels = row["levels"]
    state = " ".join(part for part in ("broken" if row["problem"] else "", row["note"]) if part)
    told = "" if row["problem"] else f"contract {row['contract_version']}"
    return (
        row["name"],
        state,
        told,
        "" if row["problem"] else _claims(levels),
        f"{row['distribution']} {row['version']}",
    )


def _claims(levels: Sequence[str]) -> str:
    from vmpilot.testing.conformance import LEVELS

    if tuple(levels) == LEVELS:
        return "all levels"
    return ", ".join(levels) or "no level"


def check_backend(options: argparse.Namespace) -> int:
    """Run the conformance suite on one backend; exit code 0 if all levels that it claims hold, 1 if not."""
    from vmpilot.testing.conformance import LEVELS, find_backend, find_cases, load_subject, make_report, run_cases

    if unknown := [level for level in options.level if level not in LEVELS]:
        raise UsageError(f"there is no level {unknown[0]!r:.40}: choose among {', '.join(LEVELS)}")
    model = _find_scripted_model(options.scripted_model)
    installed = find_backend(options.name)
    (described,) = describe_backends([installed])
    if described.problem:  # also of one whose import hangs, or ends the process
        raise BackendError(described.problem)
    subject = load_subject(installed, model)
    cases = find_cases(options.level)
    with _open_json(options.json) as file:
        info = subject.backend.info
        if file is not sys.stdout:
            print(printable(f"{info.name} {info.version} ({installed.distribution}), contract {info.contract_version}"))
        with closing(_with_progress(run_cases(subject, cases, repeat=options.repeat), len(cases))) as results:
            report = make_report(info, list(results))
        if file is not None:
            file.write(json.dumps(report.as_json(), indent=2) + "\n")
        if file is not sys.stdout:
            _print_report(report, whole=bool(options.level))
    return 0 if report.holds else 1


def _find_scripted_model(place: str | None) -> Any:
    """The scripted model at `MODULE:NAME`, the scripted server for None. Raises `UsageError`."""
    from vmpilot.testing import ServedModel

    if place is None:
        return ServedModel
    module, colon, name = place.partition(":")
    try:
        found = getattr(import_module(module), name) if colon else None
    except (ImportError, ValueError, AttributeError) as error:
        raise UsageError(f"--scripted-model {place!r} cannot be found: {error}") from error
    if not callable(found):
        raise UsageError(f"--scripted-model {place!r} must be MODULE:NAME of what makes a scripted model")
    return found


def _open_json(path: str | None) -> Any:
    """Where the report for machines goes; a file is opened before anything is run, so that no run is in vain."""
    if path is None:
        return nullcontext(None)
    if path == "-":
        return nullcontext(sys.stdout)
    try:
        return Path(path).open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def _with_progress(results: Iterator[Result], count: int) -> Generator[Result, None, None]:
    """The results, with a line on a terminal that says how far they are."""
    shows = sys.stderr.isatty()
    done = 0
    try:
        for result in results:
            done += 1
            if shows:
                _show_progress(f"{done}/{count} {result.case.id}", sys.stderr)
            yield result
    finally:
        if shows:
            _show_progress("", sys.stderr)


def _show_progress(text: str, stream: TextIO) -> None:
    print(f"\r\x1b[K{text}", end="", file=stream, flush=True)


def _print_report(report: Report, *, whole: bool) -> None:
    """The table and the failures; those in levels that are not claimed are told in full only with `whole`."""
    style = Style(enabled=sys.stdout.isatty())
    rows = [("level", "cases", "claimed", "")]
    for level in report.levels:
        skipped = f" ({level.skipped} skipped)" if level.skipped else ""
        cases = f"{level.passed}/{len(level.results)}{skipped}"
        rows.append((level.level, cases, "yes" if level.claimed else "no", "holds" if level.holds else "does not hold"))
    print_table(rows)
    claimed = {level.level for level in report.levels if level.claimed}
    for failure in report.failures:
        if whole or failure.case.level in claimed:
            _print_failure(failure, style, claimed=failure.case.level in claimed)
    others = [failure.case.id for failure in report.failures if failure.case.level not in claimed]
    if others and not whole:
        print()
        _print_wrapped(f"Failed in levels that are not claimed (--level tells more): {', '.join(others)}", indent="")
    print()
    print(style.bold(_verdict(report)))


def _print_failure(failure: Result, style: Style, *, claimed: bool) -> None:
    print()
    print(style.bold(f"failed: {failure.case.id}" + ("" if claimed else " (a level that is not claimed)")))
    _print_wrapped(failure.case.sentence, indent="  ")
    _print_wrapped(f"expected: {failure.expected}", indent="  ")
    _print_wrapped(f"came: {failure.came}", indent="  ")
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
    missed = [level.level for level in claimed if not level.holds]
    if not claimed:
        return "The backend claims none of these levels, so there was nothing to hold."
    if missed:
        return f"Claimed, and not held: {', '.join(missed)}."
    return "All claimed levels hold."
