"""Intervals of plain rates: independent items, each of which went one way or the other."""

from __future__ import annotations

import math

from scipy import special


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a rate, (low, high) within [0, 1]; (0, 1) where nothing was tried.

    Never of zero width, also at 0 of n and n of n. For independent items alone: probes of one subject are not, see
    `board_intervals`. Raises `ValueError` unless 0 ≤ successes ≤ n. Source: Wilson 1927.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes: {successes} of {n} is no rate")
    if n == 0:
        return 0.0, 1.0
    z = float(special.ndtri((1 + level) / 2))
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low, high = max(0.0, centre - reach), min(1.0, centre + reach)
    return (0.0 if successes == 0 else low), (1.0 if successes == n else high)
