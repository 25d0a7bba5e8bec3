"""Paired differences between the entries of a board, read from its snapshot and put into words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evaluator.contract.board import PairedDifference

#: Corrected p-values up to this one tell two entries apart, as in the ranking.
ALPHA = 0.05


@dataclass(frozen=True)
class Difference:
    """One entry minus another in one metric, as a gain: above 0 the entry is better. Bounds are those of 95 %."""

    value: float
    low: float
    high: float
    p: float  # Holm-corrected over the pairs of the board

    @property
    def verdict(self) -> str:
        if self.p > ALPHA or self.value == 0:
            return "unclear"
        return "better" if self.value > 0 else "worse"

    @property
    def words(self) -> str:
        """`better by 0.12 (0.03–0.20)`, or `cannot be told apart (−0.02 to +0.09)`."""
        if self.verdict == "unclear":
            return f"cannot be told apart ({_signed(self.low)} to {_signed(self.high)})"
        low, high = sorted((abs(self.low), abs(self.high))) if self.low * self.high >= 0 else (self.low, self.high)
        bounds = f"{low:.2f}–{high:.2f}" if low >= 0 else f"{_signed(low)} to {_signed(high)}"
        return f"{self.verdict} by {abs(self.value):.2f} ({bounds})"

    @property
    def p_words(self) -> str:
        return "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−") if round(value, 2) else "0.00"


def difference_read(
    payload: Mapping[str, Any], *, key: str, direction: str, one: str, other: str, gap: float
) -> Difference | None:
    """Entry `one` minus entry `other` (submission ids) in a metric; None where the snapshot has no such pair.

    `gap` is the difference of the two values. Snapshots of older evaluators have no pairs at all, and large boards
    have them for the overall score alone.
    """
    pairs = (payload.get("pairs") or {}).get(key)
    if not pairs or one == other or one not in pairs["ids"] or other not in pairs["ids"]:
        return None
    first, second = sorted((pairs["ids"].index(one), pairs["ids"].index(other)))
    low, high, p = (pairs[name][first][second - first - 1] for name in ("low", "high", "p_holm"))
    if low is None or high is None or p is None:
        return None
    # The pair is stored as the earlier id minus the later one; a lower value is the gain where lower is better.
    turned = (pairs["ids"][first] != one) != (direction == "down")
    gain = -gap if direction == "down" else gap
    return Difference(gain, *((-high, -low) if turned else (low, high)), p)


def difference_stored(found: PairedDifference) -> Difference | None:
    """A row's own difference in the overall score, to the base or to the next entry; None where there is none."""
    if found.value is None or found.low is None or found.high is None or found.p_holm is None:
        return None
    return Difference(found.value, found.low, found.high, found.p_holm)
