"""How far apart two samples are as distributions: Kolmogorov-Smirnov's D and Wasserstein's distance, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluator.measures.metrics.board import FloatArray
from evaluator.measures.statistics.bootstrap import generator
from evaluator.measures.statistics.intervals import small_sample_factor

RESAMPLES = 2_000
#: Resamples that are worked on together: bounds the memory.
BLOCK = 250
#: Subjects that are as good as any number.
MANY = 1_000_000


@dataclass(frozen=True)
class Distance:
    """A distance with its 95 % interval; 0 is the same distribution."""

    value: float
    low: float
    high: float


def ks_distance(
    a: Sequence[float] | FloatArray,
    b: Sequence[float] | FloatArray,
    *,
    clusters_a: Sequence[str] | None = None,
    clusters_b: Sequence[str] | None = None,
    key: str = "ks",
    resamples: int = RESAMPLES,
) -> Distance:
    """D = sup |F_a - F_b| of two independent samples, in [0, 1].

    A distance where the p-value of the same test is none: it does not shrink as samples grow. D itself is biased
    upwards in a resample, so the interval is D ± the 95 % quantile of sup |(F_a* - F_b*) - (F_a - F_b)|, which bounds
    the error of D wherever the truth is, 0 included; it is wider with few subjects, as the intervals of the board are
    (measured: 93-98 % from 10 values a sample on). `clusters_*` name the subject of every
    value, and subjects are resampled; without them, every value is its own. Raises `ValueError` for fewer than two
    subjects in a sample or a value that is not finite.
    """
    _, gap, centred = _processes(a, b, clusters_a, clusters_b, key, resamples)
    return _bounded(float(np.abs(gap).max()), np.array([np.abs(block).max(axis=1) for block in centred]).ravel(), 1.0)


def wasserstein_distance(
    a: Sequence[float] | FloatArray,
    b: Sequence[float] | FloatArray,
    *,
    clusters_a: Sequence[str] | None = None,
    clusters_b: Sequence[str] | None = None,
    key: str = "ks",
    resamples: int = RESAMPLES,
) -> Distance:
    """W₁ = ∫ |F_a - F_b|, in the unit of the values; interval, arguments and errors as of `ks_distance`."""
    points, gap, centred = _processes(a, b, clusters_a, clusters_b, key, resamples)
    width = np.append(np.diff(points), 0.0)
    errors = np.array([np.abs(block) @ width for block in centred]).ravel()
    return _bounded(float(np.abs(gap) @ width), errors, np.inf)


def _bounded(value: float, errors: FloatArray, most: float) -> Distance:
    reach = float(np.quantile(errors, 0.95))
    return Distance(value, max(0.0, value - reach), min(most, value + reach))


def _processes(
    a: Sequence[float] | FloatArray,
    b: Sequence[float] | FloatArray,
    clusters_a: Sequence[str] | None,
    clusters_b: Sequence[str] | None,
    key: str,
    resamples: int,
) -> tuple[FloatArray, FloatArray, list[FloatArray]]:
    """(points, F_a - F_b at them, blocks of its resampled deviations of shape (resamples, points))."""
    samples = [np.asarray(sample, dtype=np.float64) for sample in (a, b)]
    if any(not sample.size or not np.isfinite(sample).all() for sample in samples):
        raise ValueError("samples: each needs at least one value, and finite ones only")
    points = np.unique(np.concatenate(samples))
    steps = [_steps(sample, points, names) for sample, names in zip(samples, (clusters_a, clusters_b), strict=True)]
    gap = _share(steps[0].sum(axis=0)) - _share(steps[1].sum(axis=0))
    rngs = [generator(key, side) for side in ("a", "b")]
    fewest = min(len(step) for step in steps)
    if fewest < 2:
        raise ValueError("samples: an interval needs two subjects in each")
    wider = small_sample_factor(fewest) / small_sample_factor(MANY)
    blocks = []
    size = min(BLOCK, resamples)
    for _ in range(max(1, resamples // size)):
        drawn = [
            _share(rng.multinomial(len(step), np.full(len(step), 1 / len(step)), size=size) @ step)
            for rng, step in zip(rngs, steps, strict=True)
        ]
        blocks.append(wider * (drawn[0] - drawn[1] - gap))
    return points, gap, blocks


def _steps(sample: FloatArray, points: FloatArray, clusters: Sequence[str] | None) -> FloatArray:
    """How many values of each cluster lie at each point, shape (clusters, points)."""
    place = np.searchsorted(points, sample)
    row: npt.NDArray[np.int64] = np.arange(len(sample))
    if clusters is not None:
        row = np.unique(np.asarray(clusters), return_inverse=True)[1]
    counts = np.zeros((int(row.max()) + 1, len(points)))
    np.add.at(counts, (row, place), 1.0)
    return counts


def _share(counts: FloatArray) -> FloatArray:
    """Counts at points to the share of values up to each point."""
    summed = np.cumsum(counts, axis=-1)
    shares: FloatArray = summed / summed[..., -1:]
    return shares
