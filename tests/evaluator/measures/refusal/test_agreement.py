"""A judge's column is shown only where it agrees with people, measured as published."""

from __future__ import annotations

import pytest

from evaluator.measures.refusal.agreement import SHOWN_N, cohen_kappa, judge_agreement, krippendorff_alpha


def test_the_column_is_shown_only_with_enough_agreement_on_enough_items() -> None:
    judge_ratings: dict[str, float | None] = {str(i): 1 + i % 5 for i in range(SHOWN_N)}
    human = {name: [float(value or 0)] for name, value in judge_ratings.items()}
    assert judge_agreement(judge_ratings, human).shown
    few = dict(list(judge_ratings.items())[:-1])
    assert not judge_agreement(few, human).shown
    reverse = {name: [6 - values[0]] for name, values in human.items()}
    against = judge_agreement(judge_ratings, reverse)
    assert against.rho == pytest.approx(-1) and not against.shown


def test_missing_ratings_leave_their_items_out() -> None:
    found = judge_agreement({"a": 5, "b": None, "c": 1, "d": 3}, {"a": [5, 4], "b": [1], "c": [1], "d": []})
    assert found.n == 2 and found.rho == pytest.approx(1)
    assert judge_agreement({"a": None}, {"a": [3]}).status == "uncalibrated"


def test_a_judge_that_never_varies_has_no_correlation_and_is_not_shown() -> None:
    found = judge_agreement({str(i): 3.0 for i in range(60)}, {str(i): [1 + i % 5] for i in range(60)})
    assert found.rho is None and not found.shown and found.status == "below the threshold"


def test_alpha_is_the_published_value_of_krippendorffs_example() -> None:
    """Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, example C: interval α = 0.849."""
    nan = None
    raters = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
        [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
    ]
    units = [[float(r[u]) for r in raters if r[u] is not None] for u in range(12)]  # type: ignore[arg-type]
    assert krippendorff_alpha(units) == pytest.approx(0.849, abs=5e-4)


def test_alpha_is_one_for_raters_who_agree_and_undefined_where_nothing_varies() -> None:
    assert krippendorff_alpha([[1, 1], [5, 5]]) == 1
    assert krippendorff_alpha([[3, 3], [3, 3]]) is None
    assert krippendorff_alpha([[3], []]) is None


def test_kappa_is_the_textbook_s() -> None:
    one = ["yes"] * 25 + ["no"] * 25
    other = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(one, other) == pytest.approx(0.4)
    assert cohen_kappa(one, one) == 1 and cohen_kappa(["a"], ["a"]) is None
