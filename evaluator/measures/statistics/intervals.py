"""Values and 95 % intervals of every board metric, for many entries at once (docs/decisions/0008-intervals.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

from evaluator.measures.metrics.board import MEANS, METRICS, FloatArray, Metric
from evaluator.measures.statistics.bootstrap import ProbeTable, Resampler, Sums, stratum_of

LEVEL = 0.95
#: Entries that are resampled together: bounds the memory at some hundred megabytes.
BLOCK = 16
#: Of numeric derivatives of metrics with respect to means.
STEP = 1e-4


@dataclass(frozen=True)
class MetricIntervals:
    """Value and 95 % interval of each metric of one entry; None where it was not run or has too few subjects.

    `drawn` and `widened` hold the resampled values of the metrics that were asked to be kept, shape (resamples,);
    `widened` counts with a subject not seen yet. `subjects` is the effective number of subjects behind a metric.
    """

    value: Mapping[str, float | None]
    low: Mapping[str, float | None]
    high: Mapping[str, float | None]
    subjects: Mapping[str, int]
    drawn: Mapping[str, FloatArray]
    widened: Mapping[str, FloatArray]


class _Reads(Mapping[str, FloatArray]):
    """Means that note which of them a metric asks for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> FloatArray:
        if name not in MEANS:
            raise KeyError(name)
        self.names.add(name)
        return np.asarray(0.5)

    def __iter__(self) -> Iterator[str]:
        return iter(MEANS)

    def __len__(self) -> int:
        return len(MEANS)


@cache
def means_read(metric: Metric) -> frozenset[str]:
    """The names of the means that a metric is made of."""
    reads = _Reads()
    metric.compute(reads)
    return frozenset(reads.names)


def small_sample_factor(subjects: int, level: float = LEVEL) -> float:
    """Quantile in bootstrap standard errors that covers at `level`: t_{n-1} for normal, √(n/(n-1)) for the bootstrap's
    own bias (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015). ≥ 1.96; needs n ≥ 2.
    """
    return float(np.sqrt(subjects / (subjects - 1)) * special.stdtrit(subjects - 1, (1 + level) / 2))


def expanded_tail(subjects: int, level: float = LEVEL) -> float:
    """The share of resamples to cut off at each end: below (1 - level)/2 where there are few subjects."""
    return float(special.ndtr(-small_sample_factor(subjects, level)))


def quantiles(drawn: FloatArray, tail: float) -> tuple[FloatArray, FloatArray]:
    """Quantiles `tail` and 1 - `tail` of each row, interpolated as `numpy.percentile` does, NaN left out.

    `drawn`: shape (rows, resamples), which is reordered. Two partitions at one place each take a fifth of the time of
    one at several.
    """
    if np.isnan(drawn.min(initial=0.0)):
        rows = [row[~np.isnan(row)] for row in drawn]
        ends = [np.quantile(row, [tail, 1 - tail]) if row.size else np.full(2, np.nan) for row in rows]
        return np.array([low for low, _ in ends]), np.array([high for _, high in ends])
    last = drawn.shape[-1] - 1
    place = int(tail * last)
    between = tail * last - place
    drawn.partition(place + 1, axis=-1)
    inner, outer = drawn[:, place + 1].copy(), drawn[:, : place + 1].max(axis=-1)
    low = outer + between * (inner - outer)
    drawn.partition(last - place - 1, axis=-1)
    inner, outer = drawn[:, last - place - 1].copy(), drawn[:, last - place :].min(axis=-1)
    return low, outer + between * (inner - outer)


@dataclass(frozen=True)
class _Means:
    """Means of a block of entries: point (entries,), drawn and widened (entries, resamples), subjects (entries,)."""

    point: dict[str, FloatArray]
    drawn: dict[str, FloatArray]
    widened: dict[str, FloatArray]
    subjects: dict[str, npt.NDArray[np.int64]]


def _means(block: Sequence[Sums], resampler: Resampler) -> _Means:
    """Every mean of a block of entries over every resample: one matrix product a stratum."""
    total = {name: np.stack([sums[name][0] for sums in block]) for name in MEANS}
    count = {name: np.stack([sums[name][1] for sums in block]) for name in MEANS}
    # (total, count, widened total) over resamples, summed over the strata of a mean
    drawn: dict[str, tuple[FloatArray, FloatArray, FloatArray]] = {}
    for stratum, columns in resampler.strata.items():
        names = [name for name in MEANS if count[name][:, columns].any()]
        if not names:
            continue
        rows: list[FloatArray] = []
        for name in names:
            counts = count[name][:, columns]
            rows += [total[name][:, columns], counts[:1] if (counts == counts[0]).all() else counts]
        products = np.concatenate(rows) @ resampler.weights[:, columns].T
        parts = np.split(products, np.cumsum([len(row) for row in rows])[:-1])
        for place, name in enumerate(names):
            totals, counts = parts[2 * place], parts[2 * place + 1]
            widened = _widened(totals, counts, total[name][:, columns], count[name][:, columns], resampler, stratum)
            if name in drawn:
                before = drawn[name]
                plain = before[2] is before[0] and widened is totals
                totals, counts, widened = before[0] + totals, before[1] + counts, before[2] + widened
                widened = totals if plain else widened
            drawn[name] = (totals, counts, widened)
    missing = np.full((len(block), resampler.resamples), np.nan)
    found = _Means({}, {}, {}, {})
    with np.errstate(invalid="ignore", divide="ignore"):
        for name in MEANS:
            found.point[name] = total[name].sum(axis=1) / count[name].sum(axis=1)
            found.subjects[name] = (count[name] > 0).sum(axis=1)
            if name in drawn:
                totals, counts, widened = drawn[name]
                found.drawn[name] = totals / counts
                found.widened[name] = found.drawn[name] if widened is totals else widened / counts
            else:
                found.drawn[name] = found.widened[name] = missing
    return found


def _widened(
    totals: FloatArray, counts: FloatArray, total: FloatArray, count: FloatArray, resampler: Resampler, stratum: str
) -> FloatArray:
    """The drawn totals with a subject of a kind not seen yet, where all subjects of the stratum stand at 0 or all at 1.

    `totals` itself where no entry stands so.
    """
    subjects = (count > 0).sum(axis=1)
    zero = (total == 0).all(axis=1) & (subjects > 0)
    one = (total == count).all(axis=1) & (subjects > 0)
    if not (zero | one).any():
        return totals
    widened = totals.copy()
    counts = np.broadcast_to(counts, totals.shape)
    for row in np.flatnonzero(zero | one):
        share = resampler.unseen(stratum, int(subjects[row]))
        widened[row] = counts[row] * (share if zero[row] else 1 - share)
    return widened


def _sources(names: Iterable[str]) -> dict[tuple[str, ...], list[str]]:
    """Means by the subjects that they are about; choices and texts are two lots of them."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(names):
        lots = {kind if stratum_of(kind) == "utility" else stratum_of(kind) for kind in MEANS[name].kinds}
        found.setdefault(tuple(sorted(lots)), []).append(name)
    return found


def _spread(drawn: FloatArray, point: FloatArray) -> FloatArray:
    """Standard deviation over resamples; one in which a mean has no probe counts as the mean itself."""
    filled = np.where(np.isnan(drawn), point[:, None], drawn)
    found: FloatArray = np.nan_to_num(np.std(filled, axis=1))
    return found


def _fewest(means: _Means, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """The smallest number of subjects behind one of these means, shape (entries,); those that were not run aside."""
    counts = np.stack([means.subjects[name] for name in names])
    found = np.where(counts > 0, counts, np.iinfo(np.int64).max).min(axis=0)
    return np.where(counts.any(axis=0), found, 0).astype(np.int64)


def _effective_subjects(metric: Metric, means: _Means, spread: Mapping[str, FloatArray]) -> npt.NDArray[np.int64]:
    """Subjects that a metric of several means has, shape (entries,): Welch and Satterthwaite's degrees of freedom + 1.

    1 + (Σ v)² / Σ v²/(n - 1) over sources of n subjects, where v is a source's part of the variance: (Σ |∂metric/∂mean|
    · standard deviation)² of its means, as if they moved together. Between the smallest n and the sum of all.
    """
    sources = _sources(means_read(metric))
    fewest = _fewest(means, [name for names in sources.values() for name in names])
    if len(sources) == 1 or (fewest < 2).all():
        return fewest
    whole = np.zeros(len(fewest))
    shares = np.zeros(len(fewest))
    for names in sources.values():
        part = np.zeros(len(fewest))
        for name in names:
            ends = [metric.compute({**means.point, name: means.point[name] + step}) for step in (STEP, -STEP)]
            part += np.nan_to_num(np.abs(ends[0] - ends[1]) / (2 * STEP) * spread[name])
        n = np.maximum(2, _fewest(means, names))
        whole += part**2
        shares += part**4 / (n - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        effective = 1 + whole**2 / shares
    known = np.isfinite(effective) & (fewest >= 2)
    found: npt.NDArray[np.int64] = np.maximum(fewest, np.where(known, effective, 0).astype(np.int64))
    return found


def _block_intervals(block: Sequence[Sums], resampler: Resampler, keep: Sequence[str]) -> list[MetricIntervals]:
    means = _means(block, resampler)
    size = len(block)
    at_bound = any(means.widened[name] is not means.drawn[name] for name in MEANS)
    value: dict[str, FloatArray] = {}
    low: dict[str, FloatArray] = {}
    high: dict[str, FloatArray] = {}
    subjects: dict[str, npt.NDArray[np.int64]] = {}
    spread = {name: _spread(means.widened[name], means.point[name]) for name in MEANS}
    kept: dict[str, FloatArray] = {}
    kept_widened: dict[str, FloatArray] = {}
    for metric in METRICS:
        key = metric.key
        value[key] = np.broadcast_to(np.asarray(metric.compute(means.point), dtype=np.float64), size)
        drawn = np.array(np.broadcast_to(metric.compute(means.drawn), (size, resampler.resamples)))
        widened = np.array(np.broadcast_to(metric.compute(means.widened), drawn.shape)) if at_bound else None
        subjects[key] = _effective_subjects(metric, means, spread)
        if key in keep:
            kept[key], kept_widened[key] = drawn.copy(), drawn.copy() if widened is None else widened.copy()
        low[key], high[key] = np.full(size, np.nan), np.full(size, np.nan)
        for n in np.unique(subjects[key][~np.isnan(value[key])]):
            if n < 2:
                continue  # one subject says nothing about others
            rows = np.flatnonzero((subjects[key] == n) & ~np.isnan(value[key]))
            tail = expanded_tail(int(n))
            ends = [quantiles(drawn[rows], tail)]
            if widened is not None:
                ends.append(quantiles(widened[rows], tail))
            point = value[key][rows]
            low[key][rows] = np.fmin.reduce([point, *(pair[0] for pair in ends)])
            high[key][rows] = np.fmax.reduce([point, *(pair[1] for pair in ends)])
    return [
        MetricIntervals(
            value={key: _number(value[key][row]) for key in value},
            low={key: _number(low[key][row]) for key in low},
            high={key: _number(high[key][row]) for key in high},
            subjects={key: int(subjects[key][row]) for key in subjects},
            drawn={key: kept[key][row] for key in kept},
            widened={key: kept_widened[key][row] for key in kept_widened},
        )
        for row in range(size)
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def board_intervals(
    tables: Mapping[str, ProbeTable], resampler: Resampler, *, keep: Sequence[str] = ("overall",)
) -> dict[str, MetricIntervals]:
    """Every metric of every entry with its interval; resampled values are kept of the metrics in `keep` alone.

    Entries are worked on in the order of their names, so that the order in which they are given changes nothing.
    """
    names = sorted(tables)
    found: dict[str, MetricIntervals] = {}
    for start in range(0, len(names), BLOCK):
        block = names[start : start + BLOCK]
        sums = [resampler.sums(tables[name]) for name in block]
        found |= dict(zip(block, _block_intervals(sums, resampler, keep), strict=True))
    return found


def metric_intervals(table: ProbeTable, resampler: Resampler, *, keep: Sequence[str] = ("overall",)) -> MetricIntervals:
    """Every board metric of one entry with its interval: the same as on a board with others."""
    return board_intervals({"": table}, resampler, keep=keep)[""]
