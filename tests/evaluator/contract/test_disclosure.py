"""A cost of a hidden split climbs to the next step and never falls below itself."""

from __future__ import annotations

import random

import pytest

from evaluator.contract.disclosure import cost_step


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, 0), (-3, 0), (0.2, 0.2), (0.3, 0.5), (1, 1), (1.01, 2), (5, 5), (5.2, 10), (99, 100), (1234, 2000)],
)
def test_a_cost_climbs_to_the_next_of_1_2_5_10(value: float, shown: float) -> None:
    assert cost_step(value) == shown


def test_steps_stay_where_they_are_and_nothing_shrinks() -> None:
    rng = random.Random(0)
    for value in (10 ** rng.uniform(-3, 6) for _ in range(2000)):
        step = cost_step(value)
        assert value * (1 - 1e-6) <= step <= 2.5 * value * (1 + 1e-6)
        assert cost_step(step) == step
