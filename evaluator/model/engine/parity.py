"""Gates: a faster way to the same numbers is used only after it has given the same numbers here, on this model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evaluator.model.engine.pack import Pair
from evaluator.model.under_test import Scored

#: Largest difference of one token's log-probability (nats) between a fast way and the plain one.
TOLERANCE = 1e-4
#: Half precision can't reach that: it must keep each token's log-probability this close (nats), and every argmax.
HALF_TOLERANCE = 0.05


class Scores(Protocol):
    def __call__(self, pairs: Sequence[Pair], /) -> list[Scored]: ...


@dataclass(frozen=True)
class Parity:
    """`worst`: largest |difference| of a token's log-probability in nats; `same_greedy`: every argmax hit agrees."""

    worst: float
    same_greedy: bool

    def holds(self, tolerance: float = TOLERANCE) -> bool:
        return self.worst <= tolerance and self.same_greedy


def worst_gap(a: Scored, b: Scored) -> float:
    """Largest difference of one token's log-probability in nats; infinite where one is no number."""
    gaps = [abs(x - y) for x, y in zip(a.logprobs, b.logprobs, strict=True)]
    return max((float("inf") if math.isnan(gap) else gap for gap in gaps), default=0.0)


def parity(fast: Scores, plain: Scores, pairs: Sequence[Pair]) -> Parity:
    """Compare two ways of scoring the same pairs."""
    worst, same = 0.0, True
    for a, b in zip(fast(pairs), plain(pairs), strict=True):
        worst = max(worst, worst_gap(a, b))
        same = same and a.hits == b.hits
    return Parity(worst, same)


def gate_pairs(vocabulary: int) -> list[Pair]:
    """A few made-up pairs with a shared beginning, shared prompts, unequal lengths and a one-token answer."""

    def tokens(seed: int, count: int) -> list[int]:
        return [(seed * 7919 + n * 104729 + n * n * 31) % vocabulary for n in range(count)]

    start = tokens(1, 6)
    first, second = start + tokens(2, 9), start + tokens(3, 4)
    return [
        (first, tokens(4, 7)),
        (first, tokens(4, 3) + tokens(5, 2)),
        (first, tokens(6, 1)),
        (second, tokens(7, 5)),
        (second, tokens(8, 12)),
    ]
