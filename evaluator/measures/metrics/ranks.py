"""Where the reference's tokens stand in the vocabulary: reciprocal rank and hit rate.

Ranks are of the reference's own tokens after the reference's own prefix (1 the most probable), so position t is always
about gold token t. Released code of LUNAR and PISTOL reads a free-running generation at the gold token's index
instead, which is about other positions from the first difference on: its numbers cannot be compared with these.
"""

from __future__ import annotations

from collections.abc import Sequence


def _checked(name: str, ranks: Sequence[int]) -> Sequence[int]:
    if any(rank < 1 for rank in ranks):
        raise ValueError(f"{name}: a rank is below 1; 1 is the most probable token")
    return ranks


def mean_reciprocal_rank(ranks: Sequence[int]) -> float | None:
    """MRR: mean over the answer's tokens of 1/rank, in (0, 1]; lower is better on facts to forget.

    None for no ranks: a server does not tell them. Source: PISTOL (arXiv 2406.16810). Cannot tell a confident answer
    from one that barely comes first. Raises `ValueError` for a rank below 1.
    """
    return sum(1 / rank for rank in _checked("mean_reciprocal_rank", ranks)) / len(ranks) if ranks else None


def hit_rate(ranks: Sequence[int], *, k: int = 100) -> float | None:
    """Share of the answer's tokens that are among the `k` most probable, in [0, 1]; lower is better on facts to forget.

    None for no ranks. Source: PISTOL's top hit ratio (arXiv 2406.16810), k = 100. Raises `ValueError` for `k` or a
    rank below 1.
    """
    if k < 1:
        raise ValueError(f"hit_rate: k is {k}; at least 1 is right")
    return sum(rank <= k for rank in _checked("hit_rate", ranks)) / len(ranks) if ranks else None
