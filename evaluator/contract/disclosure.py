"""What of a hidden run is seen, by whom, and how finely: the one place that decides it, for both worlds.

A submitter could carry bits out of a hidden split through anything that the method influences: what it prints, the
digits of a score, a duration. So everybody but an organiser gets rounded scores, coarse costs, durations in buckets
and a trace without text; and what a submission could still carry out is counted from these very rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from evaluator.contract.scorecard import MetricGroup
from evaluator.contract.values import VALUE_NAMES, names_of

# ---------------------------------------------------------------- who


class Reader(StrEnum):
    """Who looks at a run."""

    ANYBODY = "anybody"
    SUBMITTER = "submitter"  # of this very run
    ORGANISER = "organiser"


@dataclass(frozen=True)
class Sight:
    """What a reader sees of a run.

    `details`: output, log, messages, at once. `exact`: unrounded scores and durations. `on_record`: the details too,
    by an act that is written into the audit log first.
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

#: Decimals of a score and of a probe's value on a hidden split. A score above 1 has two significant digits.
HIDDEN_DECIMALS = 3
#: So many different numbers a score, an end of its interval or a probe's value can be: 0.000, 0.001, … 1.000.
SHOWN_NUMBERS = 10**HIDDEN_DECIMALS + 1
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
    """A score as it may leave a hidden run: three decimals, and above 1 (a perplexity) two significant digits.

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


def probe_value_shown(value: float | None) -> float | None:
    """A probe's value as it may stand in the trace of a hidden run."""
    return None if value is None else round(value, HIDDEN_DECIMALS)


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

#: The columns of a hidden run's trace that are shown under keyed pseudonyms, each with the letter that opens them.
PSEUDONYMS = {"item_id": "i", "subject_key": "s"}
#: The columns that are shown as they are. Every other one is withheld: a new column is hidden until it is named here.
SHOWN_AS_THEY_ARE = ("kind", "split_role", "condition", "base_correct")
#: The values that are shown, rounded.
SHOWN_VALUES = VALUE_NAMES
SHOWN_COLUMNS = frozenset({*PSEUDONYMS, *SHOWN_AS_THEY_ARE, *SHOWN_VALUES})
#: No text counts as less likely than this, nats a token (perplexity 10⁶).
TEXT_FLOOR_NATS = -math.log(1e6)


# ---------------------------------------------------------------- how much


def score_bits() -> float:
    """What a score with both ends of its interval can hold."""
    return 3 * math.log2(SHOWN_NUMBERS)


def probe_bits() -> float:
    """What can be held by all that is shown of one probe, whichever kind it has."""
    marks, shares, nats = (len([n for n in names_of(kind) if n in SHOWN_VALUES]) for kind in ("mark", "share", "nats"))
    question = marks + shares * math.log2(SHOWN_NUMBERS)
    text = nats * math.log2(2 * -TEXT_FLOOR_NATS * 10**HIDDEN_DECIMALS + 1)
    return max(question, text)
