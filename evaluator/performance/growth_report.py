"""The growth bench's figures in Markdown: a table for each benchmark, with lines and a plot."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator import __version__
from evaluator.performance.fit import Fit, linear_fit, plot
from evaluator.performance.growth import THREADS, Series
from evaluator.performance.machine import processor
from evaluator.performance.measuring import PARTS, QUESTIONS, UTILITY
from evaluator.performance.report import page_write

#: What a series is for, where that is not plain.
_SHAPE_ALONE = {"toy-world": "for the shape of the curve alone: a model of 3 layers on invented lands"}


@dataclass(frozen=True)
class Row:
    """One figure over all measured sizes. `path`: its place in a record."""

    name: str
    path: tuple[str, ...]
    digits: int = 1
    fitted: bool = True

    def values(self, series: Series) -> list[float]:
        return [series.median(size, *self.path) for size in sorted(series.found)]

    def fit(self, series: Series) -> Fit | None:
        """The line through the sizes that have this figure."""
        pairs = [(n, y) for n, y in zip(sorted(series.found), self.values(series), strict=True) if not math.isnan(y)]
        return linear_fit([n for n, _ in pairs], [y for _, y in pairs]) if self.fitted else None

    def text(self, series: Series) -> str:
        fit = self.fit(series)
        cells = ["" if math.isnan(value) else f"{value:.{self.digits}f}" for value in self.values(series)]
        line = fit.text(self.digits) if fit else ""
        explained = f"{fit.r2:.3f}" if fit and fit.r2 is not None else ""
        return f"| {' | '.join([self.name, *cells, line, explained])} |"


ALL = Row("all of it, CPU-s", ("whole", "cpu_s"))


def rows_of(series: Series) -> list[Row]:
    """The figures of a series: the whole, its parts, each group of probes alone, memory."""
    groups = {name for records in series.found.values() for record in records for name in record["groups"]}
    first = [name for name in (QUESTIONS, UTILITY) if name in groups]
    return [
        Row("rows of the trace", ("rows",), digits=0),
        Row("all of it, wall s", ("whole", "wall_s")),
        ALL,
        *(Row(f"… {part}", ("parts", part, "cpu_s")) for part in PARTS),
        *(
            Row(f"alone: {name}, CPU-s", ("groups", name, "cpu_s"))
            for name in [*first, *sorted(groups - {QUESTIONS, UTILITY})]
        ),
        Row("peak memory, MB", ("peak_mb",), digits=0),
    ]


def series_text(series: Series) -> str:
    """Table, missing sizes and plot of one benchmark."""
    sizes = sorted(series.found)
    shape = _SHAPE_ALONE.get(series.benchmark)
    lines = [f"**{series.benchmark}**" + (f" ({shape})" if shape else "") + ":", ""]
    if sizes:
        lines += [
            f"| {' | '.join(['requests n', *map(str, sizes), 'line', 'r²'])} |",
            f"|---|{'--:|' * (len(sizes) + 2)}",
            *(row.text(series) for row in rows_of(series)),
        ]
    if series.missing:
        gone = ", ".join(str(missing.size) for missing in series.missing)
        lines += ["", f"Missing, since the base knows too few facts of the public pool: {gone} requests."]
    if len(sizes) > 1:
        drawn = plot(sizes, ALL.values(series), ALL.fit(series), across="requests", up="CPU-s of measuring one entry")
        lines += ["", "```text", drawn, "```"]
    return "\n".join(lines)


def growth_text(found: Sequence[Series], *, rounds: int) -> str:
    """The whole report in Markdown."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    times = "each size once" if rounds == 1 else f"medians of {rounds} rounds"
    head = f"Evaluator {__version__}, {today}; {processor()}, {THREADS} threads; {times}."
    return "\n\n".join([head, *(series_text(series) for series in found)])


def growth_write(path: Path, found: Sequence[Series], *, rounds: int) -> None:
    """Put the report between its marks in a Markdown file. Raises `ValueError` when it has none."""
    page_write(path, growth_text(found, rounds=rounds), "growth")
