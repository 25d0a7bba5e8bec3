"""How much of an entry's value is the luck of a seed, and how much the choice of subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluator.measures.metrics.board import MEANS, METRICS, FloatArray, Metric
from evaluator.measures.statistics.bootstrap import ProbeTable, Resampler, Sums
from evaluator.measures.statistics.intervals import STEP, means_read


@dataclass(frozen=True)
class SeedVariance:
    """Variance of one run's value, split by its source.

    `between`: seeds, on whatever subjects; `within`: which subjects were drawn, under whatever seed; `residual`: what
    a seed does to single subjects, and noise. Their sum is the variance of a run with a new seed on new subjects.
    """

    n: int
    between: float
    within: float
    residual: float


def seed_variance(tables: Sequence[ProbeTable], key: str = "overall") -> SeedVariance | None:
    """Two-way analysis of variance (seed × subject, method of moments) of a metric over the runs of one entry.

    A metric that is no plain mean is taken linear around its value over all runs: a subject's part is the metric's
    gradient times what the subject adds to each mean. Components below 0 are 0. None with fewer than two runs, fewer
    than two subjects, or where the metric was not run. Raises `ValueError` for runs on different probes.
    """
    runs = len(tables)
    if runs < 2:
        return None
    tables[0].mean_over_seeds(tables[1:])  # raises where the probes differ
    metric = next(metric for metric in METRICS if metric.key == key)
    resampler = Resampler(tables[0], key=key, resamples=1)
    sums = [resampler.sums(table) for table in tables]
    parts = _parts(metric, sums)
    if parts is None or parts.shape[1] < 2:
        return None
    subjects = parts.shape[1]
    # Scaled so that the mean over subjects is the run's value.
    scores = parts * subjects
    by_run, by_subject, grand = scores.mean(axis=1), scores.mean(axis=0), scores.mean()
    ms_run = subjects * np.sum((by_run - grand) ** 2) / (runs - 1)
    ms_subject = runs * np.sum((by_subject - grand) ** 2) / (subjects - 1)
    left = scores - by_run[:, None] - by_subject[None, :] + grand
    ms_left = np.sum(left**2) / ((runs - 1) * (subjects - 1))
    return SeedVariance(
        n=runs,
        between=float(max(0.0, (ms_run - ms_left) / subjects)),
        within=float(max(0.0, (ms_subject - ms_left) / runs) / subjects),
        residual=float(ms_left / subjects),
    )


def _parts(metric: Metric, sums: Sequence[Sums]) -> FloatArray | None:
    """What each subject adds to the metric in each run, shape (runs, subjects with a probe that matters)."""
    names = sorted(means_read(metric))
    total = {name: np.stack([found[name][0] for found in sums]) for name in names}
    count = {name: np.stack([found[name][1] for found in sums]) for name in names}
    if any(count[name].sum() == 0 for name in names):
        return None
    point = {name: np.asarray(total[name].sum() / count[name].sum()) for name in names}
    everything = {name: np.asarray(0.5) for name in MEANS} | point
    parts = np.zeros_like(total[names[0]])
    for name in names:
        high, low = (float(metric.compute(everything | {name: point[name] + step})) for step in (STEP, -STEP))
        gradient = (high - low) / (2 * STEP)
        parts += gradient * (total[name] - point[name] * count[name]) / count[name].sum(axis=1, keepdims=True)
    used = np.any([count[name].sum(axis=0) > 0 for name in names], axis=0)
    return parts[:, used]
