"""Membership scores, their AUC and privleak against values worked out by hand."""

from __future__ import annotations

import math
import zlib

import pytest

from evaluator.measures.metrics import membership as mia

LOGPROBS = (-1.0, -4.0, -2.0, -3.0, -5.0)


def test_min_k_is_the_mean_of_the_lowest_two_fifths() -> None:
    # floor(0.4 · 5) = 2 lowest: -5 and -4.
    assert mia.min_k_score(LOGPROBS) == 4.5
    # open-unlearning leaves -5 out: floor(0.4 · 4) = 1 lowest: -4.
    assert mia.min_k_score(LOGPROBS, compat="open-unlearning") == 4.0


def test_a_text_too_short_for_a_share_counts_one_token_but_has_no_score_in_muse() -> None:
    assert mia.min_k_score([-3.0, -1.0]) == 3.0
    assert mia.min_k_score([-3.0, -1.0], compat="muse") is None


def test_min_k_plus_plus_measures_in_standard_deviations() -> None:
    # z = (-4 - -2) / sqrt(4) = -1 and (-1 - -3) / sqrt(1) = 2; the lower one counts.
    assert mia.min_k_plus_plus_score([-4.0, -1.0], [-2.0, -3.0], [4.0, 1.0]) == 1.0
    assert mia.min_k_plus_plus_score([-1.0, -4.0], [-3.0, -2.0], [1.0, 4.0], compat="open-unlearning") == -2.0


def test_a_variance_of_zero_divides_by_its_floor() -> None:
    # (-2 - -1) / sqrt(1e-6) = -1000.
    assert mia.min_k_plus_plus_score([-2.0], [-1.0], [0.0]) == pytest.approx(1000.0)


def test_loss_zlib_reference_and_lower_case_scores_are_made_of_the_mean_loss() -> None:
    # Mean of 1, 4, 2, 3, 5 is 3.
    assert mia.loss_score(LOGPROBS) == 3.0
    assert mia.zlib_score(LOGPROBS, "Velia") == 3.0 / len(zlib.compress(b"Velia"))
    assert mia.reference_score(LOGPROBS, [-1.0, -1.0]) == 2.0
    assert mia.lower_case_score(LOGPROBS, [-6.0]) == 0.5


@pytest.mark.parametrize("bad", [(), (math.nan,), (-1.0, -math.inf)])
def test_scores_without_finite_tokens_are_not_run(bad: tuple[float, ...]) -> None:
    assert mia.loss_score(bad) is None
    assert mia.zlib_score(bad, "text") is None
    assert mia.reference_score(bad, [-1.0]) is None
    assert mia.reference_score([-1.0], bad) is None
    assert mia.lower_case_score([-1.0], bad) is None
    assert mia.min_k_score(bad) is None
    assert mia.min_k_plus_plus_score(bad, [-1.0] * len(bad), [1.0] * len(bad)) is None


def test_a_server_without_means_and_variances_has_no_min_k_plus_plus() -> None:
    assert mia.min_k_plus_plus_score([-1.0], [], []) is None
    assert mia.min_k_plus_plus_score([-1.0], [-1.0], [math.nan]) is None


def test_no_token_scores_zero_in_open_unlearning() -> None:
    assert mia.min_k_score([], compat="open-unlearning") == 0
    assert mia.min_k_score([-1.0], compat="open-unlearning") == 0  # the one label is the last
    assert mia.min_k_plus_plus_score([], [], [], compat="open-unlearning") == 0


def test_an_impossible_share_is_refused() -> None:
    with pytest.raises(ValueError, match="min_k: share is 0"):
        mia.min_k_score([-1.0], share=0)


def test_the_auc_is_the_share_of_pairs_in_which_the_forget_item_looks_seen() -> None:
    # Pairs (forget, holdout): 1 < 2, 1 < 3, 2 = 2 (half), 2 < 3: 3.5 of 4.
    assert mia.membership_auc([1, 2], [2, 3]) == 3.5 / 4
    assert mia.membership_auc([1, 2], [3, 4]) == 1.0
    assert mia.membership_auc([5], [5, 5]) == 0.5


def test_an_auc_of_nothing_or_of_what_was_not_run_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="membership_auc: there is no holdout score"):
        mia.membership_auc([1.0], [])
    with pytest.raises(ValueError, match="membership_auc: a forget score is missing"):
        mia.membership_auc([1.0, math.nan], [1.0])


def test_privleak_is_relative_to_the_retrained_model() -> None:
    # ((1 - 0.9) - (1 - 0.5)) / (1 - 0.5) = -0.8.
    assert mia.privleak(0.9, 0.5) == pytest.approx(-80)
    assert mia.privleak(0.9, 0.5, compat="muse") == pytest.approx(-80)
    assert mia.rel_diff(0.6, 0.5) == pytest.approx(20)


def test_privleak_without_a_retrained_model_is_refused_not_guessed() -> None:
    with pytest.raises(ValueError, match="privleak: the retrained model's value is missing"):
        mia.privleak(0.9, None)
    with pytest.raises(ValueError, match="rel_diff: the retrained"):
        mia.rel_diff(0.9, None)
    assert mia.privleak(0.9, None, compat="open-unlearning") == pytest.approx(-80)
    with pytest.raises(ValueError, match="cannot divide"):
        mia.privleak(0.9, 1.0)
