"""Ranks: entries that cannot be told apart share one; each rank has an interval over resamples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluator.metrics.board import FloatArray

ALPHA = 0.05


@dataclass(frozen=True)
class RankedEntry:
    """`rank` is 1 + the number of entries that are significantly better; None when the entry has no value."""

    rank: int | None
    rank_low: int | None
    rank_high: int | None
    tied_with: tuple[str, ...]


def _separable(values: Mapping[str, float], drawn: Mapping[str, FloatArray]) -> set[tuple[str, str]]:
    """Ordered pairs (better, worse) that differ by a paired bootstrap test, Holm-corrected over all pairs."""
    names = sorted(values)
    tests: list[tuple[float, str, str]] = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            better, worse = (a, b) if values[a] >= values[b] else (b, a)
            difference = drawn[better] - drawn[worse]
            size = len(difference)
            p = 2 * (np.count_nonzero(difference <= 0) + 1) / (size + 1)
            tests.append((min(1.0, float(p)), better, worse))
    tests.sort()
    found: set[tuple[str, str]] = set()
    for number, (chance, better, worse) in enumerate(tests):
        if chance * (len(tests) - number) > ALPHA:
            break
        found.add((better, worse))
    return found


def rank_entries(values: Mapping[str, float | None], drawn: Mapping[str, FloatArray]) -> dict[str, RankedEntry]:
    """Rank entries by a value, higher first.

    `drawn[name]`: (resamples,) values of the same resamples for every entry (paired). The rank interval is the
    2.5-97.5 % range, over resamples, of the entry's place.
    """
    present = {name: v for name, v in values.items() if v is not None}
    found = {name: RankedEntry(None, None, None, ()) for name in values}
    if not present:
        return found
    names = sorted(present)
    separable = _separable(present, drawn)
    stacked = np.stack([np.nan_to_num(drawn[name], nan=-1.0) for name in names])
    for number, name in enumerate(names):
        # Equal values share the better place, so that identical entries have identical intervals.
        places = 1 + (stacked > stacked[number] + 1e-12).sum(axis=0)
        low, high = np.percentile(places, [2.5, 97.5], method="nearest")
        rank = 1 + sum((other, name) in separable for other in names)
        tied = tuple(o for o in names if o != name and (o, name) not in separable and (name, o) not in separable)
        found[name] = RankedEntry(rank, min(int(low), rank), max(int(high), rank), tied)
    return found
