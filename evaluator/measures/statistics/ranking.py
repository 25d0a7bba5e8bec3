"""Paired differences between entries, and ranks: entries that cannot be told apart share one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from evaluator.measures.metrics.board import FloatArray
from evaluator.measures.statistics.intervals import MetricIntervals, expanded_tail, quantiles

ALPHA = 0.05
POWER = 0.8
#: Values that differ by less are equal: the order of a sum moves the last digits.
EQUAL = 1e-9


@dataclass(frozen=True)
class Differences:
    """Entry i minus entry j, for every two entries that have a value; all arrays of shape (entries, entries).

    `low` and `high` bound each difference at 95 %, uncorrected, NaN with one subject. `se` is the paired bootstrap's,
    with √(n/(n-1)) for few subjects; `p` is two-sided; `p_holm` is corrected for all pairs of the board. `places` has
    the 2.5 and 97.5 % place of every entry over the resamples, shape (2, entries). `subjects` is the smallest number
    of effective subjects.
    """

    ids: tuple[str, ...]
    value: FloatArray
    low: FloatArray
    high: FloatArray
    se: FloatArray
    p: FloatArray
    p_holm: FloatArray
    places: npt.NDArray[np.int64]
    subjects: int


@dataclass(frozen=True)
class RankedEntry:
    """`rank` as `rank_entries` gives it; None when the entry has no value."""

    rank: int | None
    rank_low: int | None
    rank_high: int | None
    tied_with: tuple[str, ...]


def holm(p: FloatArray) -> FloatArray:
    """Holm's step-down correction of p-values, shape (tests,): controls the chance of any false finding."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, stepped)
    return corrected


def _variances(drawn: FloatArray) -> FloatArray:
    """Variance over resamples of every pair's difference, shape (entries, entries)."""
    centred = drawn - drawn.mean(axis=1, keepdims=True)
    covariance = centred @ centred.T / drawn.shape[1]
    own = np.diagonal(covariance)
    variances: FloatArray = np.maximum(own[:, None] + own[None, :] - 2 * covariance, 0.0)
    return variances


def _pair_ends(
    drawn: FloatArray, widened: FloatArray, value: FloatArray, fewest: npt.NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Interval of every pair's difference, made as the interval of a single value is; shape (entries, entries) each."""
    size = len(drawn)
    low, high = value.copy(), value.copy()
    families = [drawn, widened] if (drawn != widened).any() else [drawn]
    for one in range(size - 1):
        others = np.arange(one + 1, size)
        for subjects in np.unique(fewest[one, others]):
            rows = others[fewest[one, others] == subjects]
            tail = expanded_tail(int(subjects))
            for family in families:
                ends = quantiles(family[one] - family[rows], tail)
                low[one, rows] = np.minimum(low[one, rows], ends[0])
                high[one, rows] = np.maximum(high[one, rows], ends[1])
        low[others, one], high[others, one] = -high[one, others], -low[one, others]
    return low, high


def paired_differences(intervals: Mapping[str, MetricIntervals], key: str = "overall") -> Differences:
    """All paired differences in a metric whose resampled values were kept.

    A pair's p-value is that of t = difference / se with n - 1 degrees of freedom, n the smaller number of subjects
    behind the two values. Where resamples cross zero, their share (two-sided, plus one) counts if it is larger; where
    none does, a share cannot be smaller than 2 in 10,000, too coarse for the thousands of pairs of a large board.
    """
    ids = tuple(sorted(name for name, found in intervals.items() if found.value[key] is not None))
    size = len(ids)
    point = np.array([intervals[name].value[key] for name in ids], dtype=np.float64)
    if not size:
        none = np.empty((0, 0))
        return Differences(ids, none, none, none, none, none, none, np.empty((2, 0), dtype=np.int64), 0)
    drawn, widened = (
        np.where(np.isnan(array), point[:, None], array)
        for array in (
            np.stack([intervals[name].drawn[key] for name in ids]),
            np.stack([intervals[name].widened[key] for name in ids]),
        )
    )
    resamples = drawn.shape[1]
    value = point[:, None] - point[None, :]
    value[np.abs(value) < EQUAL] = 0.0
    above = np.empty((size, size))
    places = np.empty((2, size), dtype=np.int64)
    for one in range(size):
        better = drawn > drawn[one] + EQUAL
        above[:, one] = np.count_nonzero(better, axis=1)
        places[:, one] = np.percentile(1 + np.count_nonzero(better, axis=0), [2.5, 97.5], method="nearest")
    subjects = np.array([intervals[name].subjects[key] for name in ids])
    fewest = np.maximum(2, np.minimum(subjects[:, None], subjects[None, :]))
    se = np.sqrt(np.maximum(_variances(drawn), _variances(widened)) * fewest / (fewest - 1))
    np.fill_diagonal(se, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(value == 0, 0.0, np.abs(value) / se)
    p = 2 * special.stdtr(fewest - 1, -t)
    crossing = np.where(value > 0, resamples - above, resamples - above.T)
    p = np.where(crossing > 0, np.maximum(p, np.minimum(1.0, 2 * (crossing + 1) / (resamples + 1))), p)
    single = (subjects[:, None] < 2) | (subjects[None, :] < 2)
    p[(value == 0) | single] = 1.0
    low, high = _pair_ends(drawn, widened, value, fewest)
    low[single] = high[single] = np.nan
    upper = np.triu_indices(size, 1)
    p_holm = np.ones((size, size))
    p_holm[upper] = holm(p[upper])
    p_holm = np.minimum(p_holm, p_holm.T)
    return Differences(ids, value, low, high, se, p, p_holm, places, int(subjects.min()))


def rank_entries(names: Iterable[str], differences: Differences) -> dict[str, RankedEntry]:
    """Rank entries by the metric of `differences`, higher first; an entry without a value has no rank.

    Two entries are apart where the Holm-corrected p-value of their difference is at most 0.05. A rank is 1 + the number
    of entries that are better and apart, but never before that of an entry with a higher value: one whose value is so
    uncertain that next to nobody is apart from it would else stand at the top with a low one. The rank interval is
    the 2.5-97.5 % range, over resamples, of the entry's place; equal values share the better place.
    """
    found = {name: RankedEntry(None, None, None, ()) for name in names}
    apart = differences.p_holm <= ALPHA
    better = apart & (differences.value > 0)
    rank = 0
    for number in np.argsort(-differences.value.sum(axis=1), kind="stable").tolist():
        name = differences.ids[number]
        rank = max(rank, 1 + int(np.count_nonzero(better[:, number])))
        low, high = (int(place) for place in differences.places[:, number])
        tied = tuple(o for i, o in enumerate(differences.ids) if i != number and not apart[i, number])
        found[name] = RankedEntry(rank, min(low, rank), max(high, rank), tied)
    return found


def detectable_difference(differences: Differences) -> float | None:
    """The smallest difference that a single paired test finds at 5 % in four boards of five (80 % power).

    (t₀.₉₇₅ + t₀.₈) times the median standard error of neighbours in rank order. None with fewer than two entries that
    differ at all.
    """
    order = np.argsort(-differences.value.sum(axis=1), kind="stable")
    se = differences.se[order[:-1], order[1:]]
    se = se[se > 0]
    if not se.size:
        return None
    n = max(2, differences.subjects)
    return float((special.stdtrit(n - 1, 1 - ALPHA / 2) + special.stdtrit(n - 1, POWER)) * np.median(se))
