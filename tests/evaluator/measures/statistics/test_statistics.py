"""The same key and subjects give the same numbers, missing is never first, and bad input is named."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from evaluator.measures.metrics.board import METRICS, harmonic_mean
from evaluator.measures.statistics import (
    Differences,
    MetricIntervals,
    ProbeTable,
    Resampler,
    board_intervals,
    detectable_difference,
    holm,
    metric_intervals,
    paired_differences,
    rank_entries,
)
from evaluator.measures.statistics.intervals import quantiles
from evaluator.probes import KEPT_KINDS
from tests.evaluator.measures.statistics.worlds import World

GOOD = World(forgetting=0.95, kept=0.95, refusal=0.9, over_refusal=0.02, subjects=30)
POOR = World(forgetting=0.2, kept=0.7, refusal=0.1, over_refusal=0.2, subjects=30)


def board(tables: dict[str, ProbeTable], *, key: str = "k", resamples: int = 1000) -> dict[str, MetricIntervals]:
    return board_intervals(tables, Resampler(next(iter(tables.values())), key=key, resamples=resamples))


def test_the_same_key_gives_the_same_interval_and_another_key_another() -> None:
    sample = World().draw(np.random.default_rng(1))
    first, again, other = (board({"a": sample}, key=key)["a"] for key in ("one", "one", "two"))
    assert first.low == again.low and first.high == again.high
    assert first.low != other.low and first.value == other.value


def test_an_entry_has_the_same_interval_alone_as_among_others_in_any_order() -> None:
    rng = np.random.default_rng(2)
    tables = {f"entry-{n}": GOOD.draw(rng) for n in range(20)}
    together = board(tables)
    turned = board(dict(reversed(tables.items())))
    resampler = Resampler(tables["entry-7"], key="k", resamples=1000)
    for name in ("entry-0", "entry-7", "entry-19"):
        alone = metric_intervals(tables[name], resampler)
        for key in alone.value:
            assert alone.low[key] == pytest.approx(together[name].low[key], abs=1e-12), key
            assert alone.high[key] == pytest.approx(together[name].high[key], abs=1e-12), key
    one, other = paired_differences(together), paired_differences(turned)
    assert one.ids == other.ids
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("value", "low", "high", "p_holm"))
    assert rank_entries(together, one) == rank_entries(turned, other)


def test_many_entries_at_once_give_what_the_definition_gives_for_one() -> None:
    rng = np.random.default_rng(3)
    tables = {name: POOR.draw(rng) for name in "abc"}
    resampler = Resampler(tables["a"], key="k", resamples=300)
    found = board_intervals(tables, resampler, keep=("over_refusal",))
    sums = resampler.sums(tables["b"])
    total, count = sums["refusal_kept"]
    drawn = (resampler.weights @ total) / (resampler.weights @ count)
    assert found["b"].drawn["over_refusal"] == pytest.approx(drawn, abs=1e-12)
    assert found["b"].value["over_refusal"] == pytest.approx(total.sum() / count.sum())


def test_quantiles_are_those_of_numpy_with_missing_values_left_out() -> None:
    drawn = np.random.default_rng(4).random((4, 1001))
    for tail in (0.025, 0.0086, 0.0001):
        assert np.array(quantiles(drawn.copy(), tail)) == pytest.approx(np.quantile(drawn, [tail, 1 - tail], axis=1))
    drawn[1, :100] = np.nan
    drawn[2] = np.nan
    low, high = quantiles(drawn.copy(), 0.025)
    assert low[1] == pytest.approx(np.nanquantile(drawn[1], 0.025)) and high[0] == np.quantile(drawn[0], 0.975)
    assert np.isnan(low[2])


def test_better_entries_rank_first_equal_ones_tie_and_missing_is_unranked() -> None:
    rng = np.random.default_rng(5)
    good, poor = GOOD.draw(rng), POOR.draw(rng)
    missing = replace(good, values={**good.values, "leak": np.full(len(good.kind), np.nan)})
    found = board({"good": good, "twin": good, "worse": poor, "missing": missing})
    differences = paired_differences(found)
    ranks = rank_entries(found, differences)
    assert ranks["good"].rank == ranks["twin"].rank == 1
    assert ranks["good"].tied_with == ("twin",)
    assert ranks["worse"].rank == 3 and ranks["worse"].tied_with == ()
    assert ranks["missing"].rank is None and found["missing"].value["overall"] is None
    assert found["missing"].value["locality"] is not None
    assert differences.ids == ("good", "twin", "worse")
    for entry in ("good", "twin", "worse"):
        low, rank, high = ranks[entry].rank_low, ranks[entry].rank, ranks[entry].rank_high
        assert low is not None and rank is not None and high is not None and low <= rank <= high


def test_differences_are_signed_symmetric_and_of_twins_exactly_nothing() -> None:
    rng = np.random.default_rng(6)
    good, poor = GOOD.draw(rng), POOR.draw(rng)
    found = paired_differences(board({"a": good, "b": good, "c": poor}))
    assert np.array_equal(found.value, -found.value.T) and np.array_equal(found.low, -found.high.T)
    assert found.p_holm[0, 1] == found.p[0, 1] == 1.0
    assert found.low[0, 1] == found.high[0, 1] == 0.0
    assert found.value[0, 2] > 0.3 and found.low[0, 2] > 0 and found.p_holm[0, 2] < 0.01
    assert np.array_equal(found.p, found.p.T) and (found.p_holm >= found.p).all()


def test_holm_is_the_textbook_s() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.9])) == pytest.approx([1.0, 1.0])


def test_a_large_board_still_tells_a_good_entry_from_poor_ones() -> None:
    """A share of resamples cannot be below 2 in 1,000 here; corrected for 780 pairs, nothing would ever differ."""
    rng = np.random.default_rng(7)
    found = board({"good": GOOD.draw(rng)} | {f"poor-{n}": POOR.draw(rng) for n in range(39)})
    ranks = rank_entries(found, paired_differences(found))
    assert ranks["good"].rank == 1 and ranks["good"].tied_with == ()


def test_a_perfect_rate_of_ten_subjects_has_an_interval_and_one_of_a_hundred_a_narrower() -> None:
    lows = []
    for subjects in (10, 100):
        perfect = World(1.0, 1.0, 1.0, 0.0, subjects).draw(np.random.default_rng(8))
        found = board({"": perfect}, resamples=4000)[""]
        assert found.value["forgetting"] == found.high["forgetting"] == 1.0
        assert found.low["over_refusal"] == 0.0 and (found.high["over_refusal"] or 0) > 0
        assert (found.low["overall"] or 1) < (found.value["overall"] or 0)
        lows.append(found.low["forgetting"] or 0)
    # Between Wilson's 0.72 and Jeffreys' 0.78 for ten of ten; so too for a hundred of a hundred.
    assert 0.66 < lows[0] < 0.79 and 0.955 < lows[1] < 0.98


def test_a_part_of_the_release_where_nothing_varied_widens_the_pooled_mean() -> None:
    table = World(over_refusal=0.3, subjects=10).draw(np.random.default_rng(9))
    places = np.array([kind == "neighbour" for kind in table.kind])
    table.values["refusal"][places] = 0.0
    found = board({"": table}, resamples=4000)[""]
    others = np.array([kind in KEPT_KINDS for kind in table.kind]) & ~places
    alone = {**table.values, "refusal": np.where(others, table.values["refusal"], np.nan)}
    without = board({"": replace(table, values=alone)}, resamples=4000)[""].high["over_refusal"] or 0
    assert (found.high["over_refusal"] or 0) > without * others.sum() / (others | places).sum()


def test_a_value_that_was_not_run_is_missing_not_zero() -> None:
    sample = World().draw(np.random.default_rng(10))
    sample.values["extraction_strength"][:] = np.nan
    found = board({"": sample})[""]
    assert found.value["extraction_strength"] is None and found.low["extraction_strength"] is None
    assert found.value["forgetting"] is not None


def test_an_entry_without_probes_of_a_kind_has_no_value_of_what_needs_it() -> None:
    whole = World().draw(np.random.default_rng(11))
    keep = [place for place, kind in enumerate(whole.kind) if kind in ("verbatim", "paraphrase")]
    part = ProbeTable(
        tuple(whole.subject_key[i] for i in keep),
        tuple(whole.kind[i] for i in keep),
        (True,) * len(keep),
        {name: column[keep] for name, column in whole.values.items()},
        tuple(whole.conditions[i] for i in keep),
    )
    found = board({"": part})
    assert found[""].value["forgetting"] is not None and found[""].value["locality"] is None
    assert found[""].value["overall"] is None
    assert rank_entries(found, paired_differences(found))[""].rank is None
    assert detectable_difference(paired_differences(found)) is None


def test_one_subject_gives_a_value_without_an_interval_and_nothing_to_rank_by() -> None:
    rng = np.random.default_rng(12)
    found = board({"a": World(1.0, 1.0, 1.0, 0.0, 1).draw(rng), "b": World(0.0, 1.0, 0.0, 0.0, 1).draw(rng)})
    assert found["a"].value["forgetting"] == 1.0 and found["a"].low["forgetting"] is None
    differences = paired_differences(found)
    ranks = rank_entries(found, differences)
    assert ranks["a"].rank == ranks["b"].rank == 1 and ranks["a"].tied_with == ("b",)
    assert differences.value[0, 1] > 0.5 and np.isnan(differences.low).all() and (differences.p == 1).all()


def test_entries_that_all_answer_alike_share_the_first_place() -> None:
    same = World().draw(np.random.default_rng(13))
    found = board({f"e{n}": same for n in range(5)})
    differences = paired_differences(found)
    assert {entry.rank for entry in rank_entries(found, differences).values()} == {1}
    assert detectable_difference(differences) is None


def test_probes_that_the_base_never_answered_make_resamples_that_count_nowhere() -> None:
    table = World(subjects=5).draw(np.random.default_rng(14))
    places = [place for place, kind in enumerate(table.kind) if kind in ("neighbour", "retain")]
    known = replace(table, base_correct=tuple(n in (places[0], places[2]) for n in range(len(table.kind))))
    found = board({"": known}, resamples=500)[""]
    assert found.value["locality"] is not None and found.low["locality"] is not None
    assert not math.isnan(found.low["locality"])


def test_an_unknown_kind_of_probe_is_named() -> None:
    with pytest.raises(ValueError, match=r"kind: 'riddle' is no probe kind; known: verbatim"):
        Resampler(ProbeTable(("s",), ("riddle",), (True,), {}), key="k")


def test_harmonic_mean_is_zero_when_a_part_is_zero() -> None:
    assert harmonic_mean(np.array(0.0), np.array(1.0)) == 0
    assert harmonic_mean(np.array(0.5), np.array(0.5)) == pytest.approx(0.5)


def test_every_metric_explains_itself() -> None:
    for metric in METRICS:
        help_text = metric.info().help
        assert "In [" in help_text and ("higher is better" in help_text) == (metric.direction == "up"), metric.key


def test_an_uncertain_entry_does_not_rank_before_one_with_a_higher_value() -> None:
    value = np.array([0.9, 0.8, 0.4])
    apart = np.array([[1.0, 0.01, 0.2], [0.01, 1.0, 0.6], [0.2, 0.6, 1.0]])
    gaps = value[:, None] - value[None, :]
    places = np.array([[1, 2, 1], [1, 2, 3]])
    found = Differences(("sure", "second", "noisy"), gaps, gaps, gaps, gaps, apart, apart, places, 20)
    ranks = rank_entries(("sure", "second", "noisy"), found)
    assert [ranks[name].rank for name in ("sure", "second", "noisy")] == [1, 2, 2]
    # The interval still says how far up it may belong.
    assert (ranks["noisy"].rank_low, ranks["noisy"].rank_high) == (1, 3)
