"""ROUGE-L, the longest common subsequence with a reference."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)


def rouge_l_recall(response: str, reference: str) -> float:
    """ROUGE-L recall in [0, 1] with Porter stemming, as TOFU and open-unlearning use it. 0 for an empty response."""
    return float(_scorer().score(reference, response)["rougeL"].recall)
