"""On simulated boards with known truth: intervals cover, equal entries tie, better ones are told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluator.measures.statistics import Resampler, board_intervals, paired_differences, rank_entries
from tests.evaluator.measures.statistics.worlds import World

#: A poor, a middling, a good and a nearly perfect method.
WORLDS = (
    World(forgetting=0.5, kept=0.8, refusal=0.5, over_refusal=0.1),
    World(forgetting=0.7, kept=0.6, refusal=0.3, over_refusal=0.2),
    World(forgetting=0.9, kept=0.9, refusal=0.7, over_refusal=0.05),
    World(forgetting=0.97, kept=0.97, refusal=0.9, over_refusal=0.02),
)


def coverage(world: World, *, boards: int, resamples: int, seed: int = 0) -> dict[str, float]:
    """The share of simulated entries whose 95 % interval holds the truth, by metric."""
    rng = np.random.default_rng(seed)
    truth = world.truth()
    hits = dict.fromkeys(truth, 0)
    resampler = Resampler(world.draw(rng), key="simulation", resamples=resamples)
    for start in range(0, boards, 100):  # entries are independent of each other: each is a board of its own
        tables = {f"{start + n:06d}": world.draw(rng) for n in range(min(100, boards - start))}
        for found in board_intervals(tables, resampler, keep=()).values():
            for key in truth:
                low, high = found.low[key], found.high[key]
                assert low is not None and high is not None
                hits[key] += low - 1e-12 <= truth[key] <= high + 1e-12
    return {key: count / boards for key, count in hits.items()}


def false_separations(world: World, *, boards: int, resamples: int, entries: int = 10) -> float:
    """The share of boards of equal entries on which any two are told apart."""
    rng = np.random.default_rng(1)
    resampler = Resampler(world.draw(rng), key="simulation", resamples=resamples)
    wrong = 0
    for _ in range(boards):
        found = board_intervals({f"e{n}": world.draw(rng) for n in range(entries)}, resampler)
        ranks = rank_entries(found, paired_differences(found))
        wrong += any(len(entry.tied_with) < entries - 1 for entry in ranks.values())
    return wrong / boards


@pytest.mark.parametrize("world", WORLDS[:3], ids=["poor", "middling", "good"])
def test_intervals_of_fifty_subjects_cover_the_truth_as_often_as_they_say(world: World) -> None:
    found = coverage(world, boards=1000, resamples=1000)
    assert 0.9 <= found["erasure"] <= 0.98
    for key in ("har", "har_raw", "generality", "locality"):
        assert 0.925 <= found[key] <= 0.98, (key, found[key])
    # One question a subject: the rate moves in steps of 1/50, and an exact 95 % cannot be had.
    assert 0.925 <= found["forgetting"] <= 0.985
    # The worst of five families is below each of them by chance alone (docs/statistics.md).
    assert found["overall"] >= 0.905 and found["robustness"] >= 0.885 and found["worst_family"] >= 0.8, found


def test_near_the_edge_the_aggregate_still_covers_and_rates_are_never_points() -> None:
    found = coverage(WORLDS[3], boards=1000, resamples=1000)
    assert 0.92 <= found["overall"] <= 0.995
    assert found["forgetting"] >= 0.93 and found["over_refusal"] >= 0.93


@pytest.mark.parametrize(("subjects", "least"), [(10, 0.87), (20, 0.895)])
def test_few_subjects_give_wide_intervals_rather_than_wrong_ones(subjects: int, least: float) -> None:
    for world in WORLDS:
        assert coverage(replace(world, subjects=subjects), boards=500, resamples=1000)["overall"] >= least, world


@pytest.mark.parametrize("subjects", [10, 50])
def test_equal_entries_are_declared_tied(subjects: int) -> None:
    # 0.05 plus two standard errors of 150 boards
    assert false_separations(replace(WORLDS[0], subjects=subjects), boards=150, resamples=1000) <= 0.086


def test_a_clearly_better_entry_is_told_from_equal_ones_and_ranks_first() -> None:
    rng = np.random.default_rng(2)
    resampler = Resampler(WORLDS[0].draw(rng), key="simulation", resamples=1000)
    alone = 0
    for _ in range(40):
        tables = {f"e{n}": WORLDS[0].draw(rng) for n in range(9)} | {"better": WORLDS[2].draw(rng)}
        found = board_intervals(tables, resampler)
        better = rank_entries(found, paired_differences(found))["better"]
        alone += better.rank == 1 and better.rank_high == 1 and not better.tied_with
    assert alone >= 36


def test_the_interval_of_a_paired_difference_covers_the_true_one() -> None:
    rng = np.random.default_rng(3)
    worse, better = WORLDS[0], WORLDS[2]
    truth = better.truth()["overall"] - worse.truth()["overall"]
    resampler = Resampler(worse.draw(rng), key="simulation", resamples=1000)
    hits = 0
    for _ in range(300):
        found = paired_differences(
            board_intervals({"a": better.draw(rng), "b": worse.draw(rng)}, resampler),
        )
        hits += found.low[0, 1] <= truth <= found.high[0, 1]
    assert 0.91 <= hits / 300 <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS, ids=["poor", "middling", "good", "nearly perfect"])
@pytest.mark.parametrize("subjects", [10, 20, 50])
def test_coverage_of_the_aggregate_over_many_boards(world: World, subjects: int) -> None:
    """The table of docs/decisions/0008-intervals.md; run with `-s` to see it."""
    found = coverage(replace(world, subjects=subjects), boards=5000, resamples=2000)
    shown = "  ".join(f"{key} {found[key]:.3f}" for key in ("overall", "forgetting", "locality", "har", "over_refusal"))
    print(f"\n{subjects} subjects, forgetting {world.forgetting}: {shown}")
    assert found["overall"] >= {10: 0.91, 20: 0.925, 50: 0.935}[subjects]


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS, ids=["poor", "middling", "good", "nearly perfect"])
@pytest.mark.parametrize("subjects", [10, 20, 50])
def test_false_separations_over_many_boards(world: World, subjects: int) -> None:
    found = false_separations(replace(world, subjects=subjects), boards=1000, resamples=1000)
    print(f"\n{subjects} subjects, forgetting {world.forgetting}: {found:.3f}")
    assert found <= 0.064  # 0.05 plus two standard errors
