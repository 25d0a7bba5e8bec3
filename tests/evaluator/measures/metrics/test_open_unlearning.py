"""Right against wrong answers, forget quality and model utility against values worked out by hand."""

from __future__ import annotations

import math
import time

import pytest

from evaluator.measures.metrics import open_unlearning as ou

HALF, QUARTER, EIGHTH = math.log(0.5), math.log(0.25), math.log(0.125)
NOT_FINITE = [math.nan, -math.inf]


def test_the_truth_ratio_is_wrong_over_right_with_a_geometric_mean_over_the_wrong_answers() -> None:
    # p_wrong = sqrt(1/2 · 1/8) = 1/4, p_right = 1/2: r = 1/2 and 1 / (1 + r) = 2/3.
    assert ou.truth_ratio([HALF], [HALF, EIGHTH]) == pytest.approx(0.5)
    assert ou.truth_share([HALF], [HALF, EIGHTH]) == pytest.approx(2 / 3)


def test_tofus_older_script_averages_the_wrong_probabilities_themselves() -> None:
    # (1/2 + 1/8) / 2 = 5/16, over 1/2.
    assert ou.truth_ratio([HALF], [HALF, EIGHTH], compat="tofu") == pytest.approx(5 / 8)


def test_several_wordings_of_the_right_answer_are_averaged_as_logarithms() -> None:
    assert ou.truth_ratio([HALF, EIGHTH], [QUARTER]) == pytest.approx(1)


def test_probabilities_that_underflow_still_have_a_ratio_only_open_unlearnings_epsilon_hides_it() -> None:
    # e^-1001 / e^-1000 = 1/e; in open-unlearning 0 / (0 + 1e-10) = 0.
    assert ou.truth_ratio([-1000.0], [-1001.0]) == pytest.approx(math.exp(-1))
    assert ou.truth_ratio([-1000.0], [-1001.0], compat="tofu") == pytest.approx(math.exp(-1))
    assert ou.truth_share([-1000.0], [-1001.0]) == pytest.approx(1 / (1 + math.exp(-1)))
    assert ou.probability_w_options(-1000.0, [-1000.0, -1000.0]) == pytest.approx(1 / 3)
    assert ou.truth_ratio([-1000.0], [-1001.0], compat="open-unlearning") == 0
    assert ou.probability_w_options(-1000.0, [-1000.0], compat="open-unlearning") == 0


def test_a_ratio_too_large_for_a_float_is_infinite_and_its_share_zero() -> None:
    assert ou.truth_ratio([-2000.0], [-1.0]) == math.inf
    assert ou.truth_share([-2000.0], [-1.0]) == 0
    assert ou.truth_ratio_mean([math.inf], "closer_to_1_better") == 0
    assert ou.truth_ratio_mean([math.inf], "true_better") == 0


def test_the_probability_among_options_is_the_right_ones_share() -> None:
    # 1/2 / (1/2 + 1/4 + 1/8) = 4/7.
    assert ou.probability_w_options(HALF, [QUARTER, EIGHTH]) == pytest.approx(4 / 7)


@pytest.mark.parametrize("bad", NOT_FINITE)
@pytest.mark.parametrize("compat", ["ours", "open-unlearning", "tofu"])
def test_what_is_not_finite_or_not_there_is_not_run(bad: float, compat: ou.Compat) -> None:
    assert ou.truth_ratio([bad], [HALF], compat=compat) is None
    assert ou.truth_ratio([HALF], [HALF, bad], compat=compat) is None
    assert ou.truth_share([bad], [HALF], compat=compat) is None
    assert ou.truth_share([HALF], [], compat=compat) is None
    assert ou.probability_w_options(bad, [HALF], compat=compat) is None
    assert ou.probability_w_options(HALF, [], compat=compat) is None


def test_aggregators_point_where_their_docstring_says() -> None:
    # min(1/2, 2) = 1/2, min(2, 1/2) = 1/2, min(1, 1) = 1: mean 2/3. max(0, 1 - r): 1/2, 0, 0: mean 1/6.
    ratios = [0.5, 2.0, 1.0]
    assert ou.truth_ratio_mean(ratios, "closer_to_1_better") == pytest.approx(2 / 3)
    assert ou.truth_ratio_mean(ratios, "true_better") == pytest.approx(1 / 6)
    assert ou.truth_ratio_mean([0.5, None, 1.0], "prob_mean") == 0.75
    assert ou.truth_ratio_mean([0.0], "closer_to_1_better") == 0


@pytest.mark.parametrize("values", [[], [None, None]])
def test_a_mean_of_nothing_is_an_error_that_names_the_metric(values: list[float | None]) -> None:
    with pytest.raises(ValueError, match=r"truth_ratio \(true_better\): none of \d items was run"):
        ou.truth_ratio_mean(values, "true_better")
    with pytest.raises(ValueError, match=r"forget_quality: needs items"):
        ou.forget_quality(values, [1.0])
    with pytest.raises(ValueError, match=r"forget_quality: needs items"):
        ou.forget_quality([1.0], values)


def test_the_ks_test_counts_lattice_paths() -> None:
    # a before b throughout: D = 1. Of the C(4, 2) = 6 orders of two and two, 2 reach D = 1: p = 1/3.
    assert tuple(ou.ks_test([1, 2], [3, 4])) == pytest.approx((1, 1 / 3))
    # a b a b: D = 1/2; every order reaches at least 1/2: p = 1.
    assert tuple(ou.ks_test([1, 3], [2, 4])) == pytest.approx((0.5, 1))
    # One against three, all below: orders of the single one: 4, of which 2 reach D = 1: p = 1/2.
    assert tuple(ou.ks_test([0], [1, 2, 3])) == pytest.approx((1, 0.5))


def test_the_same_sample_twice_is_no_distance_and_ties_are_no_difference() -> None:
    assert ou.ks_test([1, 1, 2], [1, 1, 2]) == (0.0, 1.0)


def test_a_tiny_p_value_is_exact_not_zero() -> None:
    # 400 below 400: 2 of C(800, 400) orders reach D = 1.
    found = ou.ks_test(range(400), range(1000, 1400))
    assert found.statistic == 1.0
    assert found.p_value == pytest.approx(2 / math.comb(800, 400), rel=1e-9) and found.p_value > 0


def test_two_thousand_values_are_compared_within_a_second() -> None:
    start = time.process_time()
    ou.ks_test(range(1000), range(500, 1500))
    assert time.process_time() - start < 1


@pytest.mark.parametrize(("a", "b"), [([], [1.0]), ([1.0], []), ([math.nan], [1.0])])
def test_a_sample_that_is_none_is_refused_by_name(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="ks_test"):
        ou.ks_test(a, b)


def test_model_utility_is_a_harmonic_mean_that_one_zero_makes_zero() -> None:
    # 9 / (8/1 + 1/0.5) = 0.9.
    parts: dict[str, float | None] = dict.fromkeys(ou.UTILITY_PARTS, 1.0)
    assert ou.model_utility(parts | {"retain_rouge": 0.5}) == pytest.approx(0.9)
    assert ou.model_utility(parts | {"retain_rouge": 0.0}) == 0
    assert ou.model_utility(parts | {"retain_rouge": None}) is None


def test_model_utility_names_missing_unknown_and_impossible_parts() -> None:
    parts: dict[str, float | None] = dict.fromkeys(ou.UTILITY_PARTS, 1.0)
    with pytest.raises(ValueError, match=r"missing \['retain_rouge'\], unknown \['retain_rogue'\]"):
        ou.model_utility({name.replace("retain_rouge", "retain_rogue"): value for name, value in parts.items()})
    with pytest.raises(ValueError, match="model_utility: needs"):
        ou.model_utility(parts | {"retain_rouge": -0.1})
    with pytest.raises(ValueError, match="model_utility: needs"):
        ou.model_utility(parts | {"retain_rouge": math.nan})
