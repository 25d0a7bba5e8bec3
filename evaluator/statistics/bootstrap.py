"""Cluster bootstrap: subjects are drawn with replacement within each part of a release, metrics follow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluator.metrics.board import MEANS, METRICS, FloatArray

RESAMPLES = 10_000
#: Verbatim and paraphrase probes of one fact belong together.
STRATUM = {"verbatim": "forget", "paraphrase": "forget", "neighbour": "neighbour", "retain": "retain"}


@dataclass(frozen=True)
class ProbeTable:
    """The probes of one entry as columns: `values[name]` has one float a probe, NaN where not run."""

    subject_key: tuple[str, ...]
    kind: tuple[str, ...]
    base_correct: tuple[bool, ...]
    values: Mapping[str, FloatArray]

    def mean_over_seeds(self, others: Sequence[ProbeTable]) -> ProbeTable:
        """The mean of this table and others of the same release, probe by probe."""
        if not others:
            return self
        for other in others:
            if (other.subject_key, other.kind) != (self.subject_key, self.kind):
                raise ValueError("traces: the runs of one entry hold different probes; they are not of one release")
        stacked = {name: np.mean([t.values[name] for t in (self, *others)], axis=0) for name in self.values}
        return ProbeTable(self.subject_key, self.kind, self.base_correct, stacked)


class Resampler:
    """Bootstrap weights over the subjects of one release: the same for every entry, so that differences are paired."""

    def __init__(self, table: ProbeTable, *, key: str, resamples: int = RESAMPLES) -> None:
        strata: dict[str, set[str]] = {}
        for subject, kind in zip(table.subject_key, table.kind, strict=True):
            strata.setdefault(STRATUM[kind], set()).add(subject)
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        rng = np.random.default_rng(seed)
        self.index: dict[tuple[str, str], int] = {}
        blocks: list[FloatArray] = []
        for stratum in sorted(strata):
            subjects = sorted(strata[stratum])
            for subject in subjects:
                self.index[(stratum, subject)] = len(self.index)
            n = len(subjects)
            blocks.append(rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64))
        self.weights: FloatArray = np.concatenate(blocks, axis=1)

    def sums(self, table: ProbeTable) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Per subject: (sum of values, number of probes) of every mean, each of shape (subjects,)."""
        clusters = np.array([self.index[(STRATUM[k], s)] for s, k in zip(table.subject_key, table.kind, strict=True)])
        kinds = np.array(table.kind)
        correct = np.array(table.base_correct, dtype=bool)
        found = {}
        for name, (column, wanted, only_correct) in MEANS.items():
            value = table.values[column]
            use = np.isin(kinds, wanted) & ~np.isnan(value)
            if only_correct:
                use &= correct
            size = len(self.index)
            found[name] = (
                np.bincount(clusters[use], weights=value[use], minlength=size).astype(np.float64),
                np.bincount(clusters[use], minlength=size).astype(np.float64),
            )
        return found

    def means(self, table: ProbeTable) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """(point means, shape (); resampled means, shape (resamples,)). NaN where no probe has a value."""
        point: dict[str, FloatArray] = {}
        drawn: dict[str, FloatArray] = {}
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, (total, count) in self.sums(table).items():
                point[name] = np.asarray(total.sum() / count.sum() if count.sum() else np.nan)
                drawn[name] = (self.weights @ total) / (self.weights @ count)
        return point, drawn


@dataclass(frozen=True)
class MetricIntervals:
    """Value and 95 % interval of each metric; None where it was not run. `drawn` holds the resampled values."""

    value: Mapping[str, float | None]
    low: Mapping[str, float | None]
    high: Mapping[str, float | None]
    drawn: Mapping[str, FloatArray]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def metric_intervals(table: ProbeTable, resampler: Resampler) -> MetricIntervals:
    """Every board metric of one entry with its percentile interval."""
    point, drawn = resampler.means(table)
    value: dict[str, float | None] = {}
    low: dict[str, float | None] = {}
    high: dict[str, float | None] = {}
    draws: dict[str, FloatArray] = {}
    for metric in METRICS:
        draws[metric.key] = np.asarray(metric.compute(drawn), dtype=np.float64)
        value[metric.key] = _number(float(metric.compute(point)))
        usable = draws[metric.key][~np.isnan(draws[metric.key])]
        ends = np.percentile(usable, [2.5, 97.5]) if usable.size and value[metric.key] is not None else (np.nan, np.nan)
        low[metric.key], high[metric.key] = _number(float(ends[0])), _number(float(ends[1]))
    return MetricIntervals(value, low, high, draws)
