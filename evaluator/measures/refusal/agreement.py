"""Does the judge agree with people? Spearman's rank correlation, Krippendorff's alpha, and when its column is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

#: A judge's column is shown from this rank correlation on, over at least so many items.
SHOWN_RHO = 0.6
SHOWN_N = 50


@dataclass(frozen=True)
class Agreement:
    """How far the judge agrees with people over `n` items that both rated. `shown`: whether its column may be shown.

    `rho`: Spearman's rank correlation with the mean human rating, in [-1, 1]. `alpha`: Krippendorff's α (interval) over
    every rating, the judge one rater among the others, at most 1. None where undefined.
    """

    n: int
    rho: float | None
    alpha: float | None
    shown: bool
    status: Literal["uncalibrated", "below the threshold", "calibrated"]


def judge_agreement(judge: Mapping[str, float | None], human: Mapping[str, Sequence[float]]) -> Agreement:
    """Agreement of one judge rating an item with the ratings that people gave it. Missing ratings are left out."""
    both = sorted(item for item, value in judge.items() if value is not None and human.get(item))
    ours = [float(judge[item] or 0) for item in both]
    rho = _spearman(ours, [float(np.mean(human[item])) for item in both])
    alpha = krippendorff_alpha([[mine, *human[item]] for mine, item in zip(ours, both, strict=True)])
    shown = rho is not None and rho >= SHOWN_RHO and len(both) >= SHOWN_N
    status: Literal["uncalibrated", "below the threshold", "calibrated"] = (
        "uncalibrated" if not both else "calibrated" if shown else "below the threshold"
    )
    return Agreement(len(both), rho, alpha, shown, status)


def _ranks(values: Sequence[float]) -> Any:
    """Ranks from 0, ties sharing their mean rank."""
    array = np.asarray(values, dtype=np.float64)
    return np.array([((array < v).sum() + (array <= v).sum() - 1) / 2 for v in array])


def _spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    if len(a) < 2 or len(set(a)) < 2 or len(set(b)) < 2:
        return None
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def krippendorff_alpha(units: Sequence[Sequence[float]]) -> float | None:
    """Krippendorff's α with the interval metric: 1 - observed / expected disagreement (Krippendorff 2011).

    `units`: the ratings of each item, by any number of raters; items with one rating don't count. At most 1, 0 at
    chance; None when no two ratings differ.
    """
    pairable = [np.asarray(unit, dtype=np.float64) for unit in units if len(unit) > 1]
    if not pairable:
        return None
    values = np.concatenate(pairable)
    n = len(values)
    # The sum of squared differences over ordered pairs of m values is 2·m²·variance.
    expected = 2 * n**2 * values.var() / (n * (n - 1))
    observed = sum(2 * len(unit) ** 2 * unit.var() / (len(unit) - 1) for unit in pairable) / n
    return None if expected == 0 else float(1 - observed / expected)


def cohen_kappa(one: Sequence[str], other: Sequence[str]) -> float | None:
    """Cohen's κ of two readers' labels of the same items: (agreement - chance) / (1 - chance), at most 1; None where
    chance alone makes them agree (Cohen 1960).
    """
    pairs = list(zip(one, other, strict=True))
    n = len(pairs)
    agreed = sum(a == b for a, b in pairs) / n
    chance = sum(list(one).count(label) * list(other).count(label) for label in {*one, *other}) / n**2
    return None if chance == 1 else (agreed - chance) / (1 - chance)
