"""Membership inference: does a model still treat what it should have forgotten as seen?

A score is given to every item, higher for an item that looks unseen; the AUC compares the forget set with a holdout
set that no model has seen. They must be alike in all else (names, lengths, wording): so AUCs are for fine-tuned
knowledge with a matched holdout, never for facts of pretraining, for which no such holdout exists.

`compat="open-unlearning"` leaves the last label out, as that suite does for min-k and min-k++. Its gradient norm is
left out here: it needs a backward pass through the weights, and no stored primitive can give it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from evaluator.measures.metrics.tokens import mean_token_logprob

#: Share of the tokens that min-k looks at: open-unlearning's and MUSE's setting.
MIN_K_SHARE = 0.4
#: The least variance (nats²) that min-k++ divides by.
LEAST_VARIANCE = 1e-6
#: What open-unlearning adds to a denominator.
EPSILON = 1e-10
#: The retain model's AUC that open-unlearning assumes when it is given none.
ASSUMED_RETAIN_AUC = 0.5


def loss_score(logprobs: Sequence[float]) -> float | None:
    """-mean log p, nats a token, in [0, inf); higher looks unseen. None for no tokens or one that is not finite.

    Source: Yeom et al. 2018 (arXiv 1709.01604). Cannot tell a memorised text from an easy one.
    """
    mean = mean_token_logprob(logprobs)
    return None if mean is None else -mean


def zlib_score(logprobs: Sequence[float], text: str) -> float | None:
    """Loss divided by the bytes of the zlib-compressed text, in [0, inf); higher looks unseen.

    Source: Carlini et al. 2021 (arXiv 2012.07805). `text`: the labelled tokens as text, special tokens left out.
    """
    loss = loss_score(logprobs)
    return None if loss is None else loss / len(zlib.compress(text.encode()))


def reference_score(logprobs: Sequence[float], reference_logprobs: Sequence[float]) -> float | None:
    """Loss minus the loss of a reference model that has not seen the item; higher looks unseen. Any sign.

    Source: Carlini et al. 2021 (arXiv 2012.07805). None where either loss is.
    """
    loss, other = loss_score(logprobs), loss_score(reference_logprobs)
    return None if loss is None or other is None else loss - other


def lower_case_score(logprobs: Sequence[float], lowered_logprobs: Sequence[float]) -> float | None:
    """Loss divided by the loss of the same text in lower case, in [0, inf); higher looks unseen.

    Source: Carlini et al. 2021; MUSE. None where either loss is, or where the second is 0.
    """
    loss, other = loss_score(logprobs), loss_score(lowered_logprobs)
    return None if loss is None or not other else loss / other


def min_k_score(
    logprobs: Sequence[float],
    *,
    share: float = MIN_K_SHARE,
    compat: Literal["ours", "open-unlearning", "muse"] = "ours",
) -> float | None:
    """Min-k %: -mean of the max(1, floor(share · T)) lowest log-probabilities, in [0, inf); higher looks unseen.

    None for no tokens or one that is not finite. open-unlearning leaves the last label out and gives 0 for no tokens;
    MUSE has no max(1, ·), so that a text too short has no score. Source: Shi et al. 2024 (arXiv 2310.16789).
    """
    counted = logprobs[:-1] if compat == "open-unlearning" else logprobs
    return _lowest(counted, share, compat)


def min_k_plus_plus_score(
    logprobs: Sequence[float],
    means: Sequence[float],
    variances: Sequence[float],
    *,
    share: float = MIN_K_SHARE,
    compat: Literal["ours", "open-unlearning"] = "ours",
) -> float | None:
    """Min-k++: as min-k, of z = (log p - mean) / sqrt(max(variance, 1e-6)); any sign, higher looks unseen.

    `means`, `variances`: of the log-probability under the model's own distribution at each token. None where they are
    missing (a server does not tell them) or not finite. Source: Zhang et al. 2024 (arXiv 2404.02936).
    """
    if not logprobs:
        return 0.0 if compat == "open-unlearning" else None
    if not len(logprobs) == len(means) == len(variances):
        return None
    standard = [
        (value - mean) / math.sqrt(max(variance, LEAST_VARIANCE)) if math.isfinite(variance) else math.nan
        for value, mean, variance in zip(logprobs, means, variances, strict=True)
    ]
    return _lowest(standard[:-1] if compat == "open-unlearning" else standard, share, compat)


def _lowest(values: Sequence[float], share: float, compat: str) -> float | None:
    if not 0 < share <= 1:
        raise ValueError(f"min_k: share is {share}; above 0 and at most 1 is right")
    if not values:
        return 0.0 if compat == "open-unlearning" else None
    if not all(math.isfinite(value) for value in values):
        return None
    size = int(len(values) * share)
    if compat != "muse":
        size = max(1, size)
    return -math.fsum(sorted(values)[:size]) / size if size else None


def membership_auc(forget: Sequence[float], holdout: Sequence[float]) -> float:
    """P(a forget item scores below a holdout item), ties one half, in [0, 1].

    1: the forget set still looks seen; 0.5: it looks like the holdout; below: it looks less seen than text that the
    model never saw, which gives it away as well. MUSE publishes 1 minus this. Best is the retrained model's AUC, not 0.
    Raises `ValueError` for an empty set or a score that is missing or not finite.
    """
    for name, scores in (("forget", forget), ("holdout", holdout)):
        if not len(scores):
            raise ValueError(f"membership_auc: there is no {name} score; both sets need at least one item")
        if not np.isfinite(np.asarray(scores, dtype=np.float64)).all():
            raise ValueError(f"membership_auc: a {name} score is missing or not finite; leave that item out")
    below = np.sort(np.asarray(forget, dtype=np.float64))
    other = np.asarray(holdout, dtype=np.float64)
    wins = np.searchsorted(below, other, side="left").sum()
    ties = np.searchsorted(below, other, side="right").sum() - wins
    return float((wins + ties / 2) / (len(below) * len(other)))


def privleak(
    auc: float,
    retain_auc: float | None,
    *,
    compat: Literal["ours", "open-unlearning", "muse"] = "ours",
) -> float:
    """((1 - AUC) - (1 - AUC_retain)) / (1 - AUC_retain) · 100, in percent; 0 is best, below 0 is under-forgotten.

    Above 0 is over-forgotten. AUCs as `membership_auc` gives them, of the model and of one retrained without the forget
    set. Source: MUSE (arXiv 2407.06460), whose retrained AUCs are constants. open-unlearning adds 1e-10 below and
    assumes 0.5 without a retrained model; ours raises `ValueError`, and also where AUC_retain is 1. Explodes as
    AUC_retain nears 1.
    """
    return _relative("privleak", 1 - auc, None if retain_auc is None else 1 - retain_auc, compat)


def rel_diff(value: float, retain: float | None, *, compat: Literal["ours", "open-unlearning"] = "ours") -> float:
    """(value - retain) / retain · 100, in percent: any number against the retrained model's; 0 is best.

    Arguments and errors as of `privleak`.
    """
    return _relative("rel_diff", value, retain, compat)


def _relative(name: str, value: float, retain: float | None, compat: str) -> float:
    if compat == "open-unlearning":
        base = ASSUMED_RETAIN_AUC if retain is None else retain
        return (value - base) / (base + EPSILON) * 100
    if retain is None:
        raise ValueError(f"{name}: the retrained model's value is missing, and a guess would look like a measurement")
    if retain == 0 or not math.isfinite(retain) or not math.isfinite(value):
        raise ValueError(f"{name}: cannot divide {value} by the retrained model's {retain}")
    return (value - retain) / retain * 100
