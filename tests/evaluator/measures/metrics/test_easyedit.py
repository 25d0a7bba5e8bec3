"""Metrics of editing against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from evaluator.measures.metrics import easyedit


def test_token_accuracy_is_the_share_of_argmax_tokens() -> None:
    assert easyedit.token_accuracy([True, False, True, True]) == 0.75
    assert easyedit.token_accuracy([True]) == 1.0
    assert easyedit.token_accuracy([]) is None


def test_locality_is_agreement_with_the_model_before_right_or_wrong() -> None:
    assert easyedit.locality([7, 8, 9], [7, 1, 9]) == pytest.approx(2 / 3)
    assert easyedit.locality([], []) is None
    with pytest.raises(ValueError, match="locality: 2 tokens before and 1 after"):
        easyedit.locality([1, 2], [1])


def test_fluency_weighs_bigrams_and_trigrams_in_bits() -> None:
    # "a b a b": bigrams ab, ba, ab: H2 = -(2/3 log2 2/3 + 1/3 log2 1/3); trigrams aba, bab: H3 = 1 bit.
    h2 = -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))
    assert easyedit.n_gram_entropy("a b a b".split()) == pytest.approx((2 / 3 * h2 + 4 / 3 * 1) / 2)


@pytest.mark.parametrize("text", ["", "one", "one two", "x x x x"])
def test_a_text_without_variety_has_no_entropy(text: str) -> None:
    assert easyedit.n_gram_entropy(text.split()) == 0


def test_fluency_is_a_mean_over_texts_and_needs_one() -> None:
    # "a b c d": three bigrams, two trigrams, each once: (2/3 log2 3 + 4/3 · 1) / 2; the other text has 0.
    one = (2 / 3 * math.log2(3) + 4 / 3) / 2
    assert easyedit.fluency(["a b c d".split(), []]) == pytest.approx(one / 2)
    with pytest.raises(ValueError, match="fluency: none of 0 items"):
        easyedit.fluency([])


def test_counterfact_scores_compare_the_new_object_with_the_true_one() -> None:
    new, true = [-1.0, -2.0, -3.0, -1.0], [-2.0, -1.0, -3.0, -4.0]
    # likelier, less likely, equal, likelier
    assert easyedit.efficacy(new, true) == 0.5
    assert easyedit.specificity(new, true) == 0.25
    # 3 / (1/1 + 1/0.5 + 1/0.25) = 3/7.
    assert easyedit.counterfact_score(1.0, 0.5, 0.25) == pytest.approx(3 / 7)
    assert easyedit.counterfact_score(1.0, 1.0, 0.0) == 0


def test_counterfact_scores_refuse_no_prompt_and_what_is_not_finite() -> None:
    with pytest.raises(ValueError, match="efficacy: 0 and 0 prompts"):
        easyedit.efficacy([], [])
    with pytest.raises(ValueError, match="specificity: a log-probability is not finite"):
        easyedit.specificity([math.nan], [-1.0])


def test_instances_that_leave_a_concept_change_it() -> None:
    # yes 3 of 4 before, 1 of 4 after: 50 points.
    assert easyedit.instance_change([True, True, True, False], [True, False, False, False]) == 50.0


def test_an_answer_that_is_neither_yes_nor_no_is_left_out_but_yes_in_easyedit() -> None:
    before, after = [True, True, None], [None, False, False]
    # Ours keeps the second pair alone: 100. EasyEdit: yes yes yes, then yes no no: 200/3.
    assert easyedit.instance_change(before, after) == 100.0
    assert easyedit.instance_change(before, after, compat="easyedit") == pytest.approx(200 / 3)
    assert easyedit.instance_change([None], [True]) is None
    with pytest.raises(ValueError, match="instance_change: 0 answers before"):
        easyedit.instance_change([], [])
