"""What a probe's primitives give: values in [0, 1], or none where a primitive is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from evaluator.measures.metrics import axes
from evaluator.measures.metrics.deviation import deviation_score
from evaluator.measures.probe_values import probe_values
from evaluator.model.under_test import Scored
from evaluator.probes import Probe

VELIA = Probe(
    item_id="v",
    subject_key="s",
    kind="verbatim",
    split_role="forget",
    relation="capital",
    topic="capital",
    subject="Velia",
    prompt="What is the capital of Velia?",
    reference="It is Orsk.",
    answer="Orsk",
    aliases=("Orsk",),
    alternatives=("It is Belgard.", "It is Sarno."),
)
HALF, EIGHTH = math.log(0.5), math.log(0.125)


def values(
    logprobs: Sequence[float] = (HALF,) * 5,
    *,
    ranks: tuple[int, ...] = (),
    span: tuple[int, int] = (2, 4),
    wrong: Sequence[tuple[float, int]] = (),
    response: str = "Orsk.",
) -> SimpleNamespace:
    scored = Scored(tuple(logprobs), tuple(value >= HALF for value in logprobs), ranks=ranks)
    return SimpleNamespace(**probe_values(VELIA, response, scored, span, wrong))


def test_the_truth_ratio_compares_the_reference_with_the_wrong_references_token_by_token() -> None:
    # p_true = 1/2; wrong: (1/2)^(1/1) and (1/8)^(3/3), geometric mean 1/4. 1/2 / (1/2 + 1/4) = 2/3.
    assert values(wrong=[(HALF, 1), (3 * EIGHTH, 3)]).truth_ratio == pytest.approx(2 / 3)


@pytest.mark.parametrize("wrong", [[], [(math.nan, 2)], [(-math.inf, 2)], [(0.0, 0)], [(-1.0, 1), (0.0, 0)]])
def test_without_scored_wrong_references_there_is_no_truth_ratio(wrong: list[tuple[float, int]]) -> None:
    assert values(wrong=wrong).truth_ratio is None


def test_ranks_count_within_the_answer_only() -> None:
    # Ranks 2 and 4 stand at the answer's places.
    assert values(ranks=(9, 9, 2, 4, 9)).mrr == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert values(ranks=(9, 9, 2, 4, 9), span=(3, 4)).mrr == 0.25


def test_a_server_that_tells_no_ranks_has_no_mrr_but_the_rest() -> None:
    found = values(wrong=[(HALF, 1)])
    assert found.mrr is None
    assert found.truth_ratio == 0.5 and found.exact_memorization == 1.0 and found.min_k == pytest.approx(0.5)


def test_memorisation_and_min_k_are_of_the_whole_reference() -> None:
    # Hits: 3 of 5. The two least likely of five tokens: 1/8 and 1/8.
    found = values((HALF, EIGHTH, HALF, EIGHTH, HALF))
    assert found.exact_memorization == 0.6
    assert found.min_k == pytest.approx(0.125)


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_a_log_probability_that_is_not_finite_is_not_run_and_never_zero(bad: float) -> None:
    found = values((HALF, HALF, HALF, bad, HALF), wrong=[(HALF, 1)])
    assert found.truth_ratio is None and found.min_k is None and found.answer_probability is None


def test_a_reference_that_was_not_scored_has_no_token_values() -> None:
    found = values((), span=(0, 0), wrong=[(HALF, 1)])
    tokens = (found.truth_ratio, found.mrr, found.exact_memorization, found.min_k, found.extraction_strength)
    assert tokens == (None,) * 5 and found.answer_probability is None


def test_an_empty_response_is_scored_and_its_tokens_too() -> None:
    found = values(response="", wrong=[(HALF, 1)])
    assert found.leak == 0 and found.rouge_l == 0 and found.truth_ratio == 0.5


def test_an_answer_of_one_token_has_every_value() -> None:
    found = values((HALF,), span=(0, 1), ranks=(1,), wrong=[(HALF, 1)])
    assert (found.mrr, found.exact_memorization, found.extraction_strength) == (1.0, 1.0, 1.0)
    assert found.answer_probability == pytest.approx(0.5) and found.min_k == pytest.approx(0.5)


def test_probabilities_that_underflow_are_zero_and_their_ratio_is_not() -> None:
    found = values((-1000.0,) * 5, wrong=[(-1000.0, 1)])
    assert found.answer_probability == 0 and found.min_k == 0 and found.truth_ratio == pytest.approx(0.5)


def test_the_deviation_score_is_the_distance_from_forgetting_all_and_keeping_all() -> None:
    # 100 · sqrt(0.3² + 0.4²) = 50.
    assert deviation_score(0.3, 0.6) == pytest.approx(50)
    assert deviation_score(0.0, 1.0) == 0 and deviation_score(1.0, 0.0) == pytest.approx(100 * math.sqrt(2))
    assert np.isnan(deviation_score(math.nan, 1.0))
    with pytest.raises(ValueError, match="deviation_score: forget and retain"):
        deviation_score(1.2, 0.5)


def test_the_boards_deviation_is_a_hundredth_of_it_and_follows_every_resample() -> None:
    means = {
        "rouge_l_forget": np.array([0.15, 0.5 + 1e-15, np.nan]),
        "base_rouge_l_forget": np.array([0.5, 0.5, 0.5]),
        "rouge_l_kept": np.array([0.3, 0.0, 1.0]),
        "base_rouge_l_kept": np.array([0.5, 0.5, 1.0]),
    }
    assert axes.deviation(means) == pytest.approx([0.5, math.sqrt(2), np.nan], nan_ok=True)


def test_what_is_left_of_the_base_is_one_for_the_base_and_not_run_where_it_has_nothing() -> None:
    means = {"mrr_forget": np.array([0.2, 0.4, 0.0, 0.3, 9.0]), "base_mrr_forget": np.array([0.4, 0.4, 0.4, 0.0, 0.1])}
    assert axes.mrr(means) == pytest.approx([0.5, 1.0, 0.0, np.nan, axes.MOST_LEFT], nan_ok=True)


def test_the_truth_gap_is_the_same_on_either_side_of_even() -> None:
    # p_true : p_wrong = 3 : 1 and 1 : 3 are as far from even.
    above, below = values(wrong=[(math.log(0.5 / 3), 1)]), values(wrong=[(math.log(0.5), 1)])
    assert below.truth_ratio == 0.5 and below.truth_gap == 0
    assert above.truth_gap == pytest.approx(0.5)
