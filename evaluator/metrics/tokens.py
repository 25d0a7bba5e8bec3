"""Metrics of one continuation's token primitives: probability and extraction strength."""

from __future__ import annotations

import math
from collections.abc import Sequence


def sequence_probability(logprobs: Sequence[float]) -> float | None:
    """Length-normalised probability exp(mean log p) in [0, 1]; None for no tokens or a log-prob that is not finite."""
    if not logprobs or not all(math.isfinite(v) for v in logprobs):
        return None
    return math.exp(sum(logprobs) / len(logprobs))


def extraction_strength(hits: Sequence[bool]) -> float | None:
    """1 - k/T in [0, 1], k the shortest prefix of the reference after which every argmax is the reference's token.

    0 when even the last token is missed (open-unlearning floors at 1/T instead); None for no tokens.
    """
    if not hits:
        return None
    tail = 0
    for hit in reversed(hits):
        if not hit:
            break
        tail += 1
    return tail / len(hits)
