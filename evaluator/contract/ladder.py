"""The steps on which a cost of a hidden split is shown: too few to carry data out."""

from __future__ import annotations

import math

STEPS = (1, 2, 5)


def ladder_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, … (and 0.5, 0.2, …) that is not below `value`; 0 for nothing or less."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    # The margin keeps 0.2 from becoming 0.5 by the last bit of a float.
    return round(next((step * power for step in STEPS if value <= step * power * (1 + 1e-9)), 10 * power), 6)
