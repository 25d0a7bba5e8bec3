"""Probability and extraction strength against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from evaluator.measures.metrics.text import rouge_l_recall
from evaluator.measures.metrics.tokens import exact_memorization, extraction_strength, sequence_probability


def test_probability_is_the_geometric_mean_of_the_token_probabilities() -> None:
    assert sequence_probability([math.log(0.5), math.log(0.125)]) == pytest.approx(0.25)


@pytest.mark.parametrize("logprobs", [[], [float("nan")], [float("-inf"), -0.1]])
def test_probability_is_missing_rather_than_wrong_without_finite_tokens(logprobs: list[float]) -> None:
    assert sequence_probability(logprobs) is None


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        ([True, True, True, True], 1.0),
        ([False, True, False, True], 0.25),
        ([True, True, False, False], 0.0),
        ([False, True, True, True], 0.75),
    ],
)
def test_extraction_strength_is_the_share_of_the_longest_tail_completed_greedily(
    hits: list[bool], expected: float
) -> None:
    assert extraction_strength(hits) == expected


def test_extraction_strength_of_no_tokens_is_missing() -> None:
    assert extraction_strength([]) is None


def test_rouge_l_is_recall_of_the_reference_with_stemming() -> None:
    assert rouge_l_recall("the capitals of Japan", "The capital of Japan is Tokyo.") == pytest.approx(4 / 6)
    assert rouge_l_recall("", "The capital of Japan is Tokyo.") == 0.0


def test_open_unlearning_leaves_the_last_label_out_and_floors_extraction_strength() -> None:
    # Without the last label: hit, miss, miss: no tail, so 1/3 instead of 0; memorised 1 of 3.
    hits = [True, False, False, True]
    assert extraction_strength(hits, compat="open-unlearning") == pytest.approx(1 / 3)
    assert exact_memorization(hits, compat="open-unlearning") == pytest.approx(1 / 3)
    assert extraction_strength(hits) == 0.25 and exact_memorization(hits) == 0.5


@pytest.mark.parametrize("hits", [[], [True]])
def test_a_target_that_is_empty_without_its_last_label_scores_as_in_open_unlearning(hits: list[bool]) -> None:
    assert extraction_strength(hits, compat="open-unlearning") == 0
    assert exact_memorization(hits, compat="open-unlearning") is None


def test_exact_memorisation_of_no_tokens_is_missing() -> None:
    assert exact_memorization([]) is None
    assert exact_memorization([True]) == 1.0


def test_probabilities_too_small_for_a_float_are_zero() -> None:
    assert sequence_probability([-2000.0]) == 0
