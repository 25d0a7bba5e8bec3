"""Rates, distances between distributions, and the split of variance into seeds and subjects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from evaluator.measures.statistics import (
    ProbeTable,
    Resampler,
    ks_distance,
    metric_intervals,
    seed_variance,
    wasserstein_distance,
    wilson_interval,
)
from tests.evaluator.measures.statistics.worlds import World


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (1, 3), (37, 50), (499, 1000)])
def test_wilson_s_interval_is_scipy_s(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_s_interval_is_never_a_point_and_refuses_what_is_no_rate() -> None:
    low, high = wilson_interval(10, 10)
    assert high == 1.0 and low == pytest.approx(0.7225, abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(5, 10, level=0.5)[0] > wilson_interval(5, 10)[0]
    with pytest.raises(ValueError, match="11 of 10"):
        wilson_interval(11, 10)


def test_distances_are_scipy_s_and_lie_in_their_intervals() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 80).round(1), rng.normal(0.7, 1, 50).round(1)
    ks, wasserstein = ks_distance(a, b), wasserstein_distance(a, b)
    assert ks.value == pytest.approx(stats.ks_2samp(a, b).statistic)
    assert wasserstein.value == pytest.approx(stats.wasserstein_distance(a, b))
    assert 0 < ks.low < ks.value < ks.high <= 1 and 0 < wasserstein.low < wasserstein.value < wasserstein.high
    assert ks_distance(a, b) == ks and ks_distance(a, b, key="other") != ks


def test_the_interval_of_d_holds_the_truth_also_where_it_is_nothing() -> None:
    rng = np.random.default_rng(1)
    # D between N(0, 1) and N(1, 1) is 2·Φ(1/2) - 1.
    for shift, truth in ((0.0, 0.0), (1.0, 0.3829)):
        found = [ks_distance(rng.normal(size=40), rng.normal(shift, size=60), resamples=250) for _ in range(150)]
        covered = sum(d.low <= truth <= d.high for d in found)
        assert covered >= 0.9 * len(found)  # 0.95 less three standard errors


def test_values_of_one_subject_are_not_taken_as_so_many_witnesses() -> None:
    rng = np.random.default_rng(2)
    a, b = np.repeat(rng.normal(size=12), 10), np.repeat(rng.normal(size=12), 10)
    names = [f"s{n // 10}" for n in range(120)]
    alone, clustered = ks_distance(a, b), ks_distance(a, b, clusters_a=names, clusters_b=names)
    assert clustered.value == alone.value
    assert clustered.high - clustered.low > alone.high - alone.low


@pytest.mark.parametrize("bad", [[], [1.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_a_distance_of_nothing_or_of_what_is_no_number_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="samples: "):
        ks_distance([1.0, 2.0], bad)


def runs(rng: np.random.Generator, *, seed_sd: float, noise: float, count: int = 3) -> list[ProbeTable]:
    """Runs of one entry whose HAR differs by subject, by seed (`seed_sd`) and by chance (`noise`)."""
    table = World(subjects=60).draw(rng)
    own = np.array([float(name[1:]) / 60 for name in table.subject_key]) * 0.4 + 0.3
    found = []
    for _ in range(count):
        har = own + rng.normal(0, seed_sd) + rng.normal(0, noise, len(own))
        found.append(replace(table, values={**table.values, "har": har}))
    return found


def test_seeds_and_subjects_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    found = [seed_variance(runs(rng, seed_sd=0.05, noise=0.1), "har_raw") for _ in range(200)]
    parts = [part for part in found if part is not None]
    assert len(parts) == 200 and parts[0].n == 3
    assert np.mean([part.between for part in parts]) == pytest.approx(0.05**2, rel=0.25)
    # 0.4 times a uniform variable over 60 subjects, and the noise of three probes a subject.
    assert np.mean([part.within for part in parts]) == pytest.approx(0.16 / 12 / 60, rel=0.1)
    assert np.mean([part.residual for part in parts]) == pytest.approx(0.1**2 / 3 / 60, rel=0.1)


def test_a_method_without_luck_has_no_variance_between_seeds() -> None:
    rng = np.random.default_rng(4)
    same = runs(rng, seed_sd=0.0, noise=0.0)
    found = seed_variance(same)
    assert found is not None and found.between == pytest.approx(0, abs=1e-12) and found.within > 0
    assert seed_variance(same[:1]) is None


def test_the_parts_of_a_non_linear_aggregate_add_up_to_how_its_runs_vary() -> None:
    """Runs that share nothing but the questions: all their variance is a seed's or chance's, none a subject's."""
    rng = np.random.default_rng(5)
    tables = [World(subjects=60).draw(rng) for _ in range(40)]
    found = seed_variance(tables)
    resampler = Resampler(tables[0], key="k", resamples=100)
    overall = [metric_intervals(table, resampler).value["overall"] for table in tables]
    assert found is not None
    assert found.between + found.residual == pytest.approx(np.var(np.array(overall, dtype=float), ddof=1), rel=0.3)
    assert found.within < 0.1 * found.residual


def test_runs_on_other_probes_are_refused_and_seeds_are_averaged_probe_by_probe() -> None:
    rng = np.random.default_rng(6)
    first, second = World(forgetting=0.8).draw(rng), World(forgetting=0.2).draw(rng)
    mean = first.mean_over_seeds([second])
    assert mean.values["leak"].mean() == pytest.approx((first.values["leak"].mean() + second.values["leak"].mean()) / 2)
    with pytest.raises(ValueError, match="different probes"):
        first.mean_over_seeds([World(subjects=5).draw(rng)])
    with pytest.raises(ValueError, match="different probes"):
        seed_variance([first, World(subjects=5).draw(rng)])
