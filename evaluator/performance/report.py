"""The engine bench's figures as a Markdown table, and the places of figures in the documentation."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator.home import write_atomically


def marks(name: str) -> tuple[str, str]:
    """The lines of a page between which a bench puts its figures."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


BEGIN, END = marks("measured")


@dataclass(frozen=True)
class Line:
    """A figure and the limit that it must keep."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def text(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{self.what}: {self.value:.3g} ({sign} {self.limit:.3g}: {'holds' if self.holds else 'MISSED'})"


@dataclass
class Report:
    """Everything that one bench found."""

    version: str
    machine: str
    rounds: int
    items: int
    #: lm-eval's batch sizes and the CPU-seconds of one try each; None where it was stopped.
    tried: dict[str, float | None] = field(default_factory=dict)
    #: The same on the probes of a release.
    kept_tried: dict[str, float | None] = field(default_factory=dict)
    parity: list[Line] = field(default_factory=list)
    targets: list[Line] = field(default_factory=list)
    #: Figures without a limit, as (what, value).
    noted: list[tuple[str, str]] = field(default_factory=list)
    figures: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(line.holds for line in [*self.parity, *self.targets])

    def table(self) -> str:
        """The whole report in Markdown."""
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        setting = f"{self.machine}; {self.items} questions; medians of {self.rounds} interleaved rounds"
        tries = f"lm-eval's batch sizes, CPU-seconds of one try: {_tries(self.tried)}"
        if self.kept_tried:
            tries += f"; on the probes of a release: {_tries(self.kept_tried)}"
        lines = [
            f"Evaluator {self.version}, {today}; {setting}.",
            "",
            f"{tries}.",
            "",
            "| contender | task | wall s | CPU-s | padded tokens | head rows | forwards | peak MB |",
            "|---|---|--:|--:|--:|--:|--:|--:|",
        ]
        for (name, task), found in self.figures.items():
            lines.append(
                f"| {name} | {task} | {found.median('wall_s'):.1f} | {found.median('cpu_s'):.1f} | "
                f"{found.median('tokens'):.0f} | {found.median('head_rows'):.0f} | {found.median('forwards'):.0f} | "
                f"{found.most('peak_mb'):.0f} |"
            )
        lines += ["", *lines_table("parity", self.parity), "", *lines_table("target", self.targets)]
        if self.noted:
            lines += [
                "",
                "| figure | measured |",
                "|---|--:|",
                *(f"| {what} | {value} |" for what, value in self.noted),
            ]
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Put the table between the marks of a Markdown file. Raises `ValueError` when it has none."""
        page_write(path, self.table())


def lines_table(title: str, lines: Iterable[Line]) -> list[str]:
    """Figures beside their limits, in Markdown."""
    rows = [f"| {title} | measured | limit | |", "|---|--:|--:|---|"]
    for line in lines:
        sign = "≥" if line.at_least else "≤"
        verdict = "holds" if line.holds else "missed"
        rows.append(f"| {line.what} | {line.value:.3g} | {sign} {line.limit:.3g} | {verdict} |")
    return rows


def _tries(tried: Mapping[str, float | None]) -> str:
    return ", ".join(
        f"{batch} {'stopped, too long' if took is None else f'{took:.0f}'}" for batch, took in tried.items()
    )


def page_write(path: Path, text: str, name: str = "measured") -> None:
    """Put a text between the marks of that name in a Markdown file. Raises `ValueError` when it has none."""
    begin, end = marks(name)
    page = path.read_text()
    if begin not in page or end not in page:
        raise ValueError(f"write: {path} has no lines {begin!r} and {end!r} to put the figures between")
    head, rest = page.split(begin, 1)
    tail = rest.split(end, 1)[1]
    write_atomically(path, f"{head}{begin}\n{text}\n{end}{tail}")
