"""Straight lines through what grows, and a small plot in text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Columns and lines of a plot, without its axes.
WIDTH = 56
HEIGHT = 12
POINT, LINE = "●", "·"


@dataclass(frozen=True)
class Fit:
    """y = a + b·n by least squares. `r2`: the share of y's variance that the line explains; None where that says
    nothing, with two points or where y is the same everywhere.
    """

    a: float
    b: float
    r2: float | None

    def at(self, n: float) -> float:
        return self.a + self.b * n

    def text(self, digits: int = 1) -> str:
        sign = "+" if self.b >= 0 else "−"
        return f"{self.a:.{digits}f} {sign} {abs(self.b):.{digits + 1}f}·n"


def linear_fit(ns: Sequence[float], ys: Sequence[float]) -> Fit | None:
    """The line through (n, y); None with fewer than two different n."""
    if len(set(ns)) < 2:
        return None
    mean_n, mean_y = sum(ns) / len(ns), sum(ys) / len(ys)
    pairs = list(zip(ns, ys, strict=True))
    b = sum((n - mean_n) * (y - mean_y) for n, y in pairs) / sum((n - mean_n) ** 2 for n in ns)
    a = mean_y - b * mean_n
    varies = sum((y - mean_y) ** 2 for y in ys)
    left = sum((y - a - b * n) ** 2 for n, y in pairs)
    return Fit(a, b, 1 - left / varies if varies > 0 and len(set(ns)) > 2 else None)


def plot(ns: Sequence[float], ys: Sequence[float], fit: Fit | None, *, across: str, up: str) -> str:
    """Points and their line in text, both axes from 0; `across` and `up` are the axes' names."""
    most_n, most_y = max(ns), max([*ys, *([fit.at(max(ns))] if fit else [])])
    cells = [[" "] * (WIDTH + 1) for _ in range(HEIGHT + 1)]

    def put(n: float, y: float, sign: str) -> None:
        line = round(HEIGHT * y / most_y) if most_y > 0 else 0
        if 0 <= line <= HEIGHT:
            cells[HEIGHT - line][round(WIDTH * n / most_n)] = sign

    for column in range(WIDTH + 1) if fit else ():
        put(most_n * column / WIDTH, fit.at(most_n * column / WIDTH) if fit else 0.0, LINE)
    for n, y in zip(ns, ys, strict=True):
        put(n, y, POINT)
    top = f"{most_y:.0f}"
    lines = [f"{up}"]
    for number, row in enumerate(cells):
        label = top if number == 0 else "0" if number == HEIGHT else ""
        lines.append(f"{label:>{len(top)}} │{''.join(row)}".rstrip())
    end = f"{most_n:g}"
    lines.append(f"{'':>{len(top)}} └{'─' * (WIDTH + 1)}")
    lines.append(f"{'':>{len(top)}}  0{across:^{WIDTH - len(end)}}{end}")
    return "\n".join(lines)
