"""How the order of a board moves when one part of the overall score is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.boards.table import SECTIONS, Column, Entry


@dataclass(frozen=True)
class Moved:
    """One entry: its rank, and its rank without each part (None where the part is none of its division's)."""

    entry: Entry
    ranks: tuple[int | None, ...]


@dataclass(frozen=True)
class Sensitivity:
    """The table of one division. `taus`: Kendall's τ-b between the order and the order without each part."""

    label: str
    parts: tuple[str, ...]
    rows: tuple[Moved, ...]
    taus: tuple[float | None, ...]


def sensitivity_build(columns: Sequence[Column], entries: Sequence[Entry]) -> tuple[Sensitivity, ...]:
    """One table a division that has ranked entries; none for boards that were ranked before there was this."""
    labels = {column.key: column.label for column in columns}
    found = []
    for section in (0, 1):
        ranked = [entry for entry in entries if entry.section == section and entry.rank and entry.rank_without]
        if len(ranked) < 2:
            continue
        keys = [key for key in labels if any(key in entry.rank_without for entry in ranked)]
        rows = tuple(Moved(entry, tuple(entry.rank_without.get(key) for key in keys)) for entry in ranked)
        own = [entry.rank or 0 for entry in ranked]
        taus = tuple(_tau(own, [row.ranks[place] or 0 for row in rows]) for place in range(len(keys)))
        found.append(Sensitivity(SECTIONS[section][0], tuple(labels[key] for key in keys), rows, taus))
    return tuple(found)


def _tau(one: Sequence[int], other: Sequence[int]) -> float | None:
    """Kendall's τ-b, in [-1, 1]; None where one of the orders has ties alone."""
    concordant = tied_one = tied_other = pairs = 0
    for i in range(len(one)):
        for j in range(i):
            a, b = one[i] - one[j], other[i] - other[j]
            pairs += 1
            tied_one += a == 0
            tied_other += b == 0
            concordant += (a * b > 0) - (a * b < 0)
    whole = ((pairs - tied_one) * (pairs - tied_other)) ** 0.5
    return concordant / whole if whole else None
