"""The results: a table for users, JSON for programs, and the aims that are met."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

from bench.aims import describe, is_met
from bench.measures import Figures, Row
from bench.programs import PROGRAMS


class Column(Protocol):
    """A program, or a database."""

    @property
    def name(self) -> str: ...
    @property
    def is_ours(self) -> bool:
        """Whether it has aims."""

    @property
    def beside(self) -> str | None:
        """The column to compare it with."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row with the samples of each program by name, in the order of the runs."""

    measure: str
    row: Row
    samples: Mapping[str, Sequence[float]]

    def value_of(self, name: str | None) -> float | None:
        """The median of a program's samples, None without samples."""
        samples = self.samples.get(name or "")
        return median(samples) if samples else None

    def is_met_by(self, column: Column) -> bool | None:
        """Whether the column meets the row's aim; None for a bare loop, or without an aim or a figure."""
        value = self.value_of(column.name)
        if self.row.aim is None or value is None or not column.is_ours:
            return None
        return is_met(self.row.aim, value, bare=self.value_of(self.row.beside or column.beside))


def make_lines(measure: str, rows: Iterable[Row], samples: Mapping[str, Sequence[Figures]]) -> Iterator[Line]:
    """The lines of a measure from the figures of its runs, by program."""
    for row in rows:
        figures = {name: [run[row.key] for run in runs if row.key in run] for name, runs in samples.items()}
        yield Line(measure, row, figures)


def write_table(lines: Sequence[Line], columns: Sequence[Column] = PROGRAMS) -> str:
    """All lines as a table, with ✓ or ✗ after figures that have an aim."""
    heads = ("", "unit", "aim", *(column.name for column in columns))
    cells = [heads, *(_write_line(line, columns) for line in lines)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) if at < 3 else cell.rjust(width) for at, (cell, width) in enumerate(pairs)).rstrip()
        for pairs in (tuple(zip(row, widths, strict=True)) for row in cells)
    )


def _write_line(line: Line, columns: Sequence[Column]) -> tuple[str, ...]:
    aim = describe(line.row.aim) if line.row.aim else ""
    return (line.row.title, line.row.unit, aim, *(_write_cell(line, column) for column in columns))


def _write_cell(line: Line, column: Column) -> str:
    value = line.value_of(column.name)
    if value is None:
        return "-"
    mark = {True: " ✓", False: " ✗", None: "  "}[line.is_met_by(column)]
    return f"{_write_number(value)}{mark}"


def _write_number(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def write_verdict(lines: Sequence[Line], columns: Sequence[Column] = PROGRAMS) -> str:
    """The number of aims met, and a line for each missed one."""
    verdicts = [(line, column, line.is_met_by(column)) for line in lines for column in columns]
    missed = [_write_miss(line, column) for line, column, met in verdicts if met is False]
    met = sum(verdict is True for _, _, verdict in verdicts)
    return "\n".join([f"{met} of {met + len(missed)} aims met", *missed])


def _write_miss(line: Line, column: Column) -> str:
    value, bare = line.value_of(column.name), line.value_of(line.row.beside or column.beside)
    beside = "" if bare is None else f", bare {_write_number(bare)}"
    aim = "" if line.row.aim is None else describe(line.row.aim)
    return (
        f"  missed: {line.row.title}: {column.name} {_write_number(value or 0.0)} {line.row.unit} (aim {aim}{beside})"
    )


def as_json(lines: Sequence[Line], columns: Sequence[Column] = PROGRAMS) -> list[dict[str, Any]]:
    """All lines with their samples."""
    return [
        {
            "measure": line.measure,
            "figure": line.row.key,
            "title": line.row.title,
            "unit": line.row.unit,
            "aim": describe(line.row.aim) if line.row.aim else None,
            "programs": {column.name: _as_cell(line, column) for column in columns if column.name in line.samples},
        }
        for line in lines
    ]


def _as_cell(line: Line, column: Column) -> dict[str, Any]:
    samples = [round(sample, 4) for sample in line.samples[column.name]]
    return {"median": line.value_of(column.name), "samples": samples, "met": line.is_met_by(column)}
