"""The engine bench's figures as a Markdown table, and their place in the documentation."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluator.home import write_atomically

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


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
    gemm_gflops: float = 0.0
    parity: list[Line] = field(default_factory=list)
    targets: list[Line] = field(default_factory=list)
    figures: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return all(line.holds for line in [*self.parity, *self.targets])

    def table(self) -> str:
        """The whole report in Markdown."""
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        setting = f"{self.machine}; GEMM rate {self.gemm_gflops:.0f} GFLOP/s; {self.items} questions"
        tries = ", ".join(
            f"{batch} {'stopped, too long' if took is None else f'{took:.0f}'}" for batch, took in self.tried.items()
        )
        lines = [
            f"Evaluator {self.version}, {today}; {setting}; medians of {self.rounds} interleaved rounds.",
            "",
            f"lm-eval's batch sizes, CPU-seconds of one try: {tries}.",
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
        for title, part in (("parity", self.parity), ("target", self.targets)):
            lines += ["", f"| {title} | measured | limit | |", "|---|--:|--:|---|"]
            for line in part:
                sign = "≥" if line.at_least else "≤"
                verdict = "holds" if line.holds else "missed"
                lines.append(f"| {line.what} | {line.value:.3g} | {sign} {line.limit:.3g} | {verdict} |")
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Put the table between the marks of a Markdown file. Raises `ValueError` when it has none."""
        text = path.read_text()
        if BEGIN not in text or END not in text:
            raise ValueError(f"write: {path} has no lines {BEGIN!r} and {END!r} to put the figures between")
        head, rest = text.split(BEGIN, 1)
        tail = rest.split(END, 1)[1]
        write_atomically(path, f"{head}{BEGIN}\n{self.table()}\n{END}{tail}")
