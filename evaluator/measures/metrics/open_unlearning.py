"""TOFU's and open-unlearning's comparisons: right against wrong answers, forget quality, model utility.

A mean log-probability is in nats a token, of one whole answer; see `tokens.mean_token_logprob`.
`compat` names whose definition to follow where they differ: "open-unlearning" (arXiv 2506.12618) adds 1e-10 to
denominators, "tofu" (arXiv 2401.06121, its older script) averages wrong probabilities instead of their logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

Compat = Literal["ours", "open-unlearning", "tofu"]
Aggregator = Literal["closer_to_1_better", "true_better", "prob_mean"]
#: What open-unlearning adds to a denominator.
EPSILON = 1e-10
#: The nine parts of model utility.
UTILITY_PARTS = tuple(
    f"{data}_{part}"
    for data in ("retain", "real_authors", "world_facts")
    for part in ("probability", "rouge", "truth_ratio")
)


class KolmogorovSmirnov(NamedTuple):
    """`statistic`: D in [0, 1], 0 for the same distribution. `p_value`: exact, two-sided."""

    statistic: float
    p_value: float


def _finite(*values: float) -> bool:
    return bool(values) and all(math.isfinite(value) for value in values)


def item_mean(name: str, values: Sequence[float | None]) -> float:
    """Mean over the items that were run. Raises `ValueError` naming the metric when there is none."""
    run = [value for value in values if value is not None]
    if not run:
        raise ValueError(f"{name}: none of {len(values)} items was run; a mean needs at least one")
    return math.fsum(run) / len(run)


def probability_w_options(correct: float, wrong: Sequence[float], *, compat: Compat = "ours") -> float | None:
    """p_c / (p_c + Σ p_w), p = exp(mean log p), in [0, 1]: the share of the right answer among the options.

    Higher is better on facts to keep. `correct`, `wrong`: mean log-probabilities. None without a wrong answer or for a
    log-probability that is not finite. Ours and TOFU's do not underflow; open-unlearning adds 1e-10 below.
    Cannot tell how likely any of the options is.
    """
    if not wrong or not _finite(correct, *wrong):
        return None
    if compat == "open-unlearning":
        right = math.exp(correct)
        return right / (right + sum(math.exp(value) for value in wrong) + EPSILON)
    top = max(correct, *wrong)
    right = math.exp(correct - top)
    return right / (right + math.fsum(math.exp(value - top) for value in wrong))


def truth_ratio(correct: Sequence[float], wrong: Sequence[float], *, compat: Compat = "ours") -> float | None:
    """r = p_wrong / p_correct in [0, inf): above 1 the model prefers the wrong answers, 1 is no preference.

    `correct`: mean log-probabilities of the right answer's wordings (a paraphrase in TOFU). `wrong`: of the wrong
    answers. Each p is the geometric mean, exp(mean of the mean log-probabilities); "tofu" takes the arithmetic mean of
    the wrong probabilities. None where one side is empty or not finite. See `truth_ratio_mean` for a direction.
    """
    if not _finite(*correct) or not _finite(*wrong):
        return None
    right, other = math.fsum(correct) / len(correct), math.fsum(wrong) / len(wrong)
    if compat == "open-unlearning":
        return math.exp(other) / (math.exp(right) + EPSILON)
    if compat == "tofu":
        top = max(wrong)
        other = top + math.log(math.fsum(math.exp(value - top) for value in wrong) / len(wrong))
    try:
        return math.exp(other - right)
    except OverflowError:
        return math.inf


def truth_share(correct: Sequence[float], wrong: Sequence[float], *, compat: Compat = "ours") -> float | None:
    """p_correct / (p_correct + p_wrong) = 1 / (1 + r), in [0, 1]; lower is better on facts to forget, to 0.5.

    0.5: the right answer is no likelier than wrong ones; below, the model avoids it, which gives it away. The truth
    ratio in the bounded form of open-unlearning's `prob_mean`, which adds 1e-10 below. Arguments and None as of
    `truth_ratio`. Cannot tell how likely either is: a model that has lost its language is near 0.5.
    """
    if compat == "open-unlearning":
        if not _finite(*correct) or not _finite(*wrong):
            return None
        right, other = (math.exp(math.fsum(side) / len(side)) for side in (correct, wrong))
        return right / (right + other + EPSILON)
    ratio = truth_ratio(correct, wrong, compat=compat)
    return None if ratio is None else 1 / (1 + ratio)


def truth_ratio_mean(
    values: Sequence[float | None], aggregator: Aggregator, *, compat: Literal["ours", "open-unlearning"] = "ours"
) -> float:
    """A set's truth ratio in [0, 1], from each item's r (or, for `prob_mean`, from each item's `truth_share`).

    `closer_to_1_better`: mean min(r, 1/r), TOFU's for facts to forget; higher is better, but over-forgetting and
    remembering lower it alike. `true_better`: mean max(0, 1 - r), for facts to keep; higher is better. `prob_mean`:
    the plain mean; lower is better on facts to forget. open-unlearning adds 1e-10 to the r that it divides by.
    Items that are None were not run; raises `ValueError` when no item was run.
    """
    run = [value for value in values if value is not None]
    if aggregator == "true_better":
        run = [max(0.0, 1 - value) for value in run]
    elif aggregator == "closer_to_1_better":
        added = EPSILON if compat == "open-unlearning" else 0.0
        run = [min(value, 1 / (value + added)) if value else 0.0 for value in run]
    return item_mean(f"truth_ratio ({aggregator})", run)


def ks_test(a: Sequence[float], b: Sequence[float]) -> KolmogorovSmirnov:
    """Two-sample Kolmogorov-Smirnov test: D = sup |F_a - F_b| and its exact two-sided p-value.

    p is the share of all orders of the pooled sample (lattice paths) whose D is at least this one, so ties count as in
    SciPy's exact method, with which it agrees; SciPy approximates above 10,000 values. Time O((n + m) n).
    Raises `ValueError` for an empty sample or a value that is not a number.
    """
    one, two = (np.sort(np.asarray(sample, dtype=np.float64)) for sample in (a, b))
    if not one.size or not two.size or np.isnan(one).any() or np.isnan(two).any():
        raise ValueError("ks_test: each sample needs at least one value, and none that is not a number")
    n, m = one.size, two.size
    pooled = np.concatenate([one, two])
    # Whole numbers: |i/n - j/m| >= D must not hang on the last bit.
    gaps = np.searchsorted(one, pooled, side="right") * m - np.searchsorted(two, pooled, side="right") * n
    reach = int(np.abs(gaps).max())
    if not reach:
        return KolmogorovSmirnov(0.0, 1.0)
    taken = np.arange(n + 1)
    within, beyond = np.zeros(n + 1), np.zeros(n + 1)
    within[0] = 1.0
    for step in range(n + m):
        up = (n - taken) / (n + m - step)
        for mass in (within, beyond):
            rising = mass * up
            np.subtract(mass, rising, out=mass)
            mass[1:] += rising[:-1]
        # A path that has once been `reach` away stays counted; sums of positive numbers keep tiny p exact.
        out = np.abs(taken * m - (step + 1 - taken) * n) >= reach
        beyond[out] += within[out]
        within[out] = 0.0
    return KolmogorovSmirnov(reach / (n * m), min(1.0, float(beyond.sum())))


def forget_quality(ratios: Sequence[float | None], retain_ratios: Sequence[float | None]) -> KolmogorovSmirnov:
    """KS test of the forget set's truth ratios against those of a model retrained without it (TOFU).

    The field publishes the p-value, higher is better; D, lower is better, stands beside it because p is no distance: it
    shrinks as items are added, and over-forgetting reads 1e-239. For D with an interval over subjects see
    `evaluator.measures.statistics.ks_distance`. Raises `ValueError` when one side has no item that was run.
    """
    sides = [[value for value in side if value is not None] for side in (ratios, retain_ratios)]
    if not all(sides):
        raise ValueError("forget_quality: needs items that were run, of the model and of the retrained one")
    return ks_test(*sides)


def harmonic_mean_of(name: str, values: Sequence[float]) -> float:
    """Harmonic mean of numbers >= 0; 0 where one is 0. Raises `ValueError` naming the metric for others or none."""
    if not values or not all(math.isfinite(value) and value >= 0 for value in values):
        raise ValueError(f"{name}: needs at least one number, all finite and none below 0; got {list(values)}")
    return len(values) / math.fsum(1 / value for value in values) if all(values) else 0.0


def model_utility(parts: Mapping[str, float | None]) -> float | None:
    """Harmonic mean of the nine `UTILITY_PARTS`, in [0, 1], higher is better: TOFU's model utility.

    Each set's mean probability (among options for real authors and world facts), ROUGE-L recall and truth ratio
    (`true_better`). None where a part was not run. Raises `ValueError` for missing or unknown parts. Cannot tell which
    ability is lost: a part at 0 makes all 0.
    """
    if set(parts) != set(UTILITY_PARTS):
        missing, unknown = set(UTILITY_PARTS) - set(parts), set(parts) - set(UTILITY_PARTS)
        raise ValueError(f"model_utility: missing {sorted(missing)}, unknown {sorted(unknown)}")
    run = [value for value in parts.values() if value is not None]
    return harmonic_mean_of("model_utility", run) if len(run) == len(UTILITY_PARTS) else None
