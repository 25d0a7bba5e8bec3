"""Whether an attacker does better than chance: his guesses against other draws of the same builder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Below it an attack has succeeded.
ALPHA = 0.01


@dataclass(frozen=True)
class Verdict:
    """Hits of one attacker over all releases. `chance`: the hits that his guesses have on other draws, on average.

    `p`: how often they have as many, adjusted for the number of attackers (Bonferroni).
    """

    attacker: str
    guesses: int
    hits: int
    chance: float
    p: float

    @property
    def succeeded(self) -> bool:
        return self.p < ALPHA


def verdict(
    attacker: str,
    named: Sequence[Sequence[str]],
    hidden: Sequence[frozenset[str]],
    draws: Sequence[frozenset[str]],
    *,
    attackers: int = 1,
) -> Verdict:
    """`named` and `hidden`: an attacker's guesses and the truth, by release. `draws`: forget sets of other builds.

    Releases are drawn independently, so the hits of all are distributed as the sum of one draw each. Raises
    `ValueError` without draws.
    """
    if not draws:
        raise ValueError("draws: there is none; chance is told by other draws of the builder")
    whole = np.ones(1)
    for guesses in named:
        hits = [len(draw.intersection(guesses)) for draw in draws]
        whole = np.convolve(whole, np.bincount(hits) / len(hits))
    found = sum(len(truth.intersection(guesses)) for guesses, truth in zip(named, hidden, strict=True))
    return Verdict(
        attacker=attacker,
        guesses=sum(map(len, named)),
        hits=found,
        chance=float(whole @ np.arange(len(whole))),
        p=min(1.0, attackers * float(whole[found:].sum())),
    )
