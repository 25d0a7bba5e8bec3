"""The values of one probe: everything that the board's metrics are averages of."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluator.contract.values import COMPARED
from evaluator.measures.metrics.answer import names_answer
from evaluator.measures.metrics.membership import min_k_score
from evaluator.measures.metrics.open_unlearning import truth_share
from evaluator.measures.metrics.ranks import mean_reciprocal_rank
from evaluator.measures.metrics.text import rouge_l_recall
from evaluator.measures.metrics.tokens import (
    exact_memorization,
    extraction_strength,
    mean_token_logprob,
    sequence_probability,
)
from evaluator.measures.refusal import har_score
from evaluator.model.under_test import Scored
from evaluator.probes import Probe


def probe_values(
    probe: Probe,
    response: str,
    scored: Scored,
    answer_span: tuple[int, int],
    wrong: Sequence[tuple[float, int]] = (),
) -> dict[str, float | None]:
    """Turn the primitives of one probe into its values, by the names of `contract.values`.

    None where a value does not apply or its primitives are missing.

    `scored`: the reference's token primitives (empty for the base's own retain probes that are not scored).
    `answer_span`: [start, end) of the answer's tokens within the reference.
    `wrong`: of each wrong reference, the sum of its tokens' log-probabilities in nats and their number.
    """
    parts = har_score(response, question=probe.prompt, subject=probe.subject, topic=probe.topic, aliases=probe.aliases)
    named = names_answer(response, probe.aliases, probe.prompt)
    start, end = answer_span
    truth = _truth(scored.logprobs, wrong)
    return {
        "leak": float(named),
        "refusal": float(parts.refusal),
        "hallucination": float(parts.hallucination),
        "fluency": parts.fluency,
        "context": parts.context,
        "policy": float(parts.policy),
        "har": parts.har,
        "correct": float(named and not parts.refusal),
        "rouge_l": rouge_l_recall(response, probe.reference),
        "answer_probability": sequence_probability(scored.logprobs[start:end]),
        "extraction_strength": extraction_strength(scored.hits),
        "exact_memorization": exact_memorization(scored.hits),
        "truth_ratio": truth,
        "mrr": mean_reciprocal_rank(scored.ranks[start:end]),
        "min_k": _min_k(scored.logprobs),
        "truth_gap": None if truth is None else 2 * abs(truth - 0.5),
        **{f"base_{name}": probe.base_values.get(name) for name in COMPARED},
    }


def _truth(logprobs: Sequence[float], wrong: Sequence[tuple[float, int]]) -> float | None:
    """The truth ratio in its bounded form; None where nothing, or a wrong reference without a token, was scored."""
    right = mean_token_logprob(logprobs)
    if right is None or not wrong or not all(tokens for _, tokens in wrong):
        return None
    return truth_share([right], [total / tokens for total, tokens in wrong])


def _min_k(logprobs: Sequence[float]) -> float | None:
    """exp(-min-k): the geometric mean probability of the least likely 40 % of the tokens, in [0, 1]."""
    score = min_k_score(logprobs)
    return None if score is None else math.exp(-score)
