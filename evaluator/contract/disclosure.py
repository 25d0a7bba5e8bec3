"""What of a hidden run is seen, by whom, and how finely: the one place that decides it, for both worlds.

A submitter could carry bits out of a hidden split through anything that the method influences: what it prints, the
digits of a score, a duration. So everybody but an organiser gets rounded scores, coarse costs, durations in buckets
and a trace without text; and what a submission could still carry out is counted from these very rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from evaluator.contract.scorecard import MetricGroup
from evaluator.contract.values import names_of

# ---------------------------------------------------------------- who


class Reader(StrEnum):
    """Who looks at a run."""

    ANYBODY = "anybody"
    SUBMITTER = "submitter"  # of this very run
    ORGANISER = "organiser"


@dataclass(frozen=True)
class Sight:
    """What a reader sees of a run.

    `details`: output, log, messages, at once. `exact`: unrounded scores and durations, of each stage too. `on_record`:
    the details too, by an act that is written into the audit log first.
    """

    details: bool
    exact: bool
    on_record: bool


def sight(reader: Reader, *, open_release: bool) -> Sight:
    """On an open release its submitter sees everything; of a hidden split only organisers see more than the public."""
    organiser = reader is Reader.ORGANISER
    return Sight(
        details=open_release and reader is not Reader.ANYBODY,
        exact=open_release or organiser,
        on_record=organiser and not open_release,
    )


# ---------------------------------------------------------------- numbers

#: Decimals of a score on a hidden split: no more than its interval bears out, since many exact means of a base that
#: everybody has, taken together, would name the facts that they are the means of. A score above 1 has two significant
#: digits.
HIDDEN_DECIMALS = 2
#: So many different numbers a score or an end of its interval can be: 0.00, 0.01, … 1.00, and 1.1, 1.2, … 1000000.
SHOWN_NUMBERS = 10**HIDDEN_DECIMALS + 1 + 6 * 90
#: The steps on which a cost is shown: too few to carry data out.
COST_STEPS = (1, 2, 5)


def cost_step(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, … (and 0.5, 0.2, …) that is not below `value`; 0 for nothing or less."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    # The margin keeps 0.2 from becoming 0.5 by the last bit of a float.
    return round(next((step * power for step in COST_STEPS if value <= step * power * (1 + 1e-9)), 10 * power), 6)


def score_shown(value: float | None) -> float | None:
    """A score as it may leave a hidden run: two decimals, and above 1 (a perplexity) two significant digits.

    Either way it is one of at most `SHOWN_NUMBERS`: what a submission could carry out in it is counted by that.
    """
    if value is None or math.isnan(value):
        return None
    return round(value, HIDDEN_DECIMALS if value <= 1 else 1 - math.floor(math.log10(value)))


def number_shown(value: float | None, *, group: str) -> float | None:
    """A metric's value as it may leave a hidden run, by the metric's group: costs are coarser than scores."""
    if value is None:
        return None
    return cost_step(value) if group == MetricGroup.COST else score_shown(value)


def pair_shown(value: float | None, *, key: str) -> float | None:
    """A difference of two entries, or one end of its interval; a p-value has one digit more, so that a rounded one
    stays on its side of 0.05.
    """
    if value is None or math.isnan(value):
        return None
    return round(value, HIDDEN_DECIMALS + (key in ("p", "p_holm")))


#: Upper ends in seconds of the buckets in which a duration is shown.
DURATION_STEPS = (
    (60, "under 1 min"),
    (300, "1–5 min"),
    (900, "5–15 min"),
    (3600, "15–60 min"),
    (float("inf"), "over 1 h"),
)


def duration_shown(seconds: float, *, exact: bool) -> str:
    """A duration in words: in whole seconds where exact numbers are seen, else its bucket."""
    if exact:
        return f"{seconds:.0f} s"
    return next(label for limit, label in DURATION_STEPS if seconds < limit)


def duration_middle_s(seconds: float) -> float:
    """The middle of the bucket in which a duration is shown to everybody; 2 hours for the last."""
    low = 0.0
    for limit, _ in DURATION_STEPS[:-1]:
        if seconds < limit:
            return (low + limit) / 2
        low = limit
    return 7200.0


def issued_at_format(*, hidden: bool) -> str:
    """How finely a receipt says when it was issued: to the hour on a hidden split, for how long a run took is in the
    method's hands.
    """
    return "%Y-%m-%dT%H:00:00+00:00" if hidden else "%Y-%m-%dT%H:%M:%S+00:00"


def stage_message(message: str, *, hidden: bool) -> str:
    """What a method may say of its own progress: nothing on a hidden split."""
    return "" if hidden else message


# ---------------------------------------------------------------- traces

#: The column of a hidden run's trace that names a probe: by a name of that run alone, so that no two runs of a board
#: can be laid side by side, nor one beside what the base is known to say.
ITEM_NAME = "item_id"
#: The columns that are shown as they are. Every other one is withheld: a new column is hidden until it is named here.
SHOWN_AS_THEY_ARE = ("kind", "split_role", "condition", "base_correct")
#: The values that are shown: outcomes. A probability or a share could be matched with the base's own.
SHOWN_VALUES = names_of("mark")
SHOWN_COLUMNS = frozenset({ITEM_NAME, *SHOWN_AS_THEY_ARE, *SHOWN_VALUES})
#: The first bytes of a sealed trace; the nonce and the encrypted Parquet file follow.
SEALED_TRACE = b"palimpsest sealed trace 1\n"
#: No text counts as less likely than this, nats a token (perplexity 10⁶).
TEXT_FLOOR_NATS = -math.log(1e6)


# ---------------------------------------------------------------- how much


def score_bits() -> float:
    """What a score with both ends of its interval can hold."""
    return 3 * math.log2(SHOWN_NUMBERS)


def trace_bits(probe_counts: Mapping[str, int]) -> float:
    """What can be held by the trace of a hidden run, by its number of probes of each kind.

    Neither the names nor the order are in a method's hand. So a kind of n probes says how many have each of the m
    combinations of outcomes, and no more: log2 of n + m - 1 over m - 1.
    """
    m = 2 ** len(SHOWN_VALUES)
    counts = [n for kind, n in probe_counts.items() if kind != "text"]  # neutral text has no outcome
    return sum(math.log2(math.comb(n + m - 1, m - 1)) for n in counts)
