"""ROUGE: words and longest common subsequences that a response shares with a reference."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple


class Rouge(NamedTuple):
    """ROUGE-1 (words) and ROUGE-L (longest common subsequence), each in [0, 1]."""

    rouge1_recall: float
    rouge1_f1: float
    rouge_l_recall: float
    rouge_l_f1: float


@cache
def _scorer(stemmer: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # noqa: PLC0415 - loads scikit-learn

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=stemmer)


def rouge(response: str, reference: str, *, stemmer: bool = True) -> Rouge:
    """ROUGE by the `rouge_score` package; every part is 0 for an empty response or reference.

    TOFU and open-unlearning: `rouge_l_recall` with Porter stemming. MUSE: `rouge_l_f1` without; its response ends
    before a blank line or "Question:", its verbatim reference is the first 128 tokens. Lower is better on facts to
    forget. Source: Lin 2004. Cannot tell a fact from the words around it: a refusal that repeats the question scores.
    """
    found = _scorer(stemmer).score(reference, response)
    return Rouge(found["rouge1"].recall, found["rouge1"].fmeasure, found["rougeL"].recall, found["rougeL"].fmeasure)


def rouge_l_recall(response: str, reference: str) -> float:
    """ROUGE-L recall in [0, 1] with Porter stemming, as TOFU and open-unlearning use it. 0 for an empty response."""
    return rouge(response, reference).rouge_l_recall
