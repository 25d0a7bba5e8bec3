"""Reciprocal ranks and hit rates against values worked out by hand."""

from __future__ import annotations

import pytest

from evaluator.measures.metrics.ranks import hit_rate, mean_reciprocal_rank


def test_the_mean_reciprocal_rank_is_over_the_answers_tokens() -> None:
    # (1/1 + 1/2 + 1/4) / 3 = 7/12.
    assert mean_reciprocal_rank([1, 2, 4]) == pytest.approx(7 / 12)
    assert mean_reciprocal_rank([5]) == 0.2


def test_the_hit_rate_counts_tokens_among_the_first_k() -> None:
    assert hit_rate([1, 100, 101, 5000]) == 0.5
    assert hit_rate([1, 2, 3, 4], k=1) == 0.25


def test_without_ranks_there_is_no_value() -> None:
    assert mean_reciprocal_rank([]) is None
    assert hit_rate([]) is None


def test_impossible_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match="mean_reciprocal_rank: a rank is below 1"):
        mean_reciprocal_rank([1, 0])
    with pytest.raises(ValueError, match="hit_rate: k is 0"):
        hit_rate([1], k=0)
