"""Intervals cover, ties are declared, ranks follow the stated rule, missing is never first."""

from __future__ import annotations

import numpy as np
import pytest

from evaluator.metrics.board import METRICS, harmonic_mean
from evaluator.statistics import ProbeTable, Resampler, metric_intervals, rank_entries
from evaluator.trace.table import VALUE_COLUMNS


def table(
    rng: np.random.Generator, *, leak: float, subjects: int = 40, kept: float = 0.9, har: float = 0.5
) -> ProbeTable:
    keys: list[str] = []
    kinds: list[str] = []
    values: dict[str, list[float]] = {name: [] for name in VALUE_COLUMNS}
    for number in range(subjects):
        for kind in ("verbatim", "paraphrase", "paraphrase"):
            keys.append(f"f{number}")
            kinds.append(kind)
            for name in VALUE_COLUMNS:
                chance = {"leak": leak, "har": har}.get(name, 0.5)
                values[name].append(float(rng.random() < chance))
        for kind in ("neighbour", "retain"):
            keys.append(f"{kind}{number}")
            kinds.append(kind)
            for name in VALUE_COLUMNS:
                chance = {"correct": kept, "refusal": 0.05}.get(name, 0.5)
                values[name].append(float(rng.random() < chance))
    return ProbeTable(tuple(keys), tuple(kinds), (True,) * len(keys), {k: np.array(v) for k, v in values.items()})


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for number in range(300):
        sample = table(rng, leak=0.4)
        found = metric_intervals(sample, Resampler(sample, key=str(number), resamples=500))
        low, high = found.low["forgetting"], found.high["forgetting"]
        assert low is not None and high is not None
        hits += low <= 0.6 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_the_same_key_gives_the_same_interval_and_another_key_another() -> None:
    sample = table(np.random.default_rng(1), leak=0.3)
    first = metric_intervals(sample, Resampler(sample, key="a", resamples=500))
    again = metric_intervals(sample, Resampler(sample, key="a", resamples=500))
    other = metric_intervals(sample, Resampler(sample, key="b", resamples=500))
    assert first.low == again.low
    assert first.low != other.low


def test_better_entries_rank_first_equal_ones_tie_and_missing_is_unranked() -> None:
    rng = np.random.default_rng(2)
    good, worse = table(rng, leak=0.02, har=0.9), table(rng, leak=0.9, har=0.05)
    resampler = Resampler(good, key="k", resamples=2000)
    found = {name: metric_intervals(t, resampler) for name, t in {"good": good, "twin": good, "worse": worse}.items()}
    drawn = {name: f.drawn["overall"] for name, f in found.items()} | {"missing": np.full(2000, np.nan)}
    ranks = rank_entries({name: f.value["overall"] for name, f in found.items()} | {"missing": None}, drawn)
    assert ranks["good"].rank == ranks["twin"].rank == 1
    assert "twin" in ranks["good"].tied_with and "worse" not in ranks["good"].tied_with
    assert ranks["worse"].rank == 3
    assert ranks["missing"].rank is None
    for entry in ("good", "twin", "worse"):
        low, rank, high = ranks[entry].rank_low, ranks[entry].rank, ranks[entry].rank_high
        assert low is not None and rank is not None and high is not None and low <= rank <= high


def test_a_value_that_was_not_run_is_missing_not_zero() -> None:
    sample = table(np.random.default_rng(3), leak=0.5)
    sample.values["extraction_strength"][:] = np.nan
    found = metric_intervals(sample, Resampler(sample, key="k", resamples=200))
    assert found.value["extraction_strength"] is None and found.low["extraction_strength"] is None
    assert found.value["forgetting"] is not None


def test_harmonic_mean_is_zero_when_a_part_is_zero() -> None:
    assert harmonic_mean(np.array(0.0), np.array(1.0)) == 0
    assert harmonic_mean(np.array(0.5), np.array(0.5)) == pytest.approx(0.5)


def test_seeds_are_averaged_probe_by_probe_and_foreign_traces_refused() -> None:
    rng = np.random.default_rng(4)
    first, second = table(rng, leak=0.2), table(rng, leak=0.8)
    mean = first.mean_over_seeds([second])
    assert mean.values["leak"].mean() == pytest.approx((first.values["leak"].mean() + second.values["leak"].mean()) / 2)
    with pytest.raises(ValueError, match="different probes"):
        first.mean_over_seeds([table(rng, leak=0.2, subjects=5)])


def test_every_metric_explains_itself() -> None:
    for metric in METRICS:
        help_text = metric.info().help
        assert "In [0, 1]" in help_text and ("higher is better" in help_text) == (metric.direction == "up"), metric.key
