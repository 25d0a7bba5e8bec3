"""The states of a run and the one table of what may follow what."""

from __future__ import annotations

from django.db import models


class RunState(models.TextChoices):
    QUEUED = "QUEUED", "Queued"
    LEASED = "LEASED", "Starting"
    UNLEARNING = "UNLEARNING", "Unlearning"
    MEASURING = "MEASURING", "Measuring"
    SCORING = "SCORING", "Scoring"
    SCORED = "SCORED", "Scored"
    FAILED_METHOD = "FAILED_METHOD", "Failed (method)"
    FAILED_PLATFORM = "FAILED_PLATFORM", "Failed (platform)"
    TIMED_OUT = "TIMED_OUT", "Timed out"
    CANCELLED = "CANCELLED", "Cancelled"


_ENDS = frozenset({RunState.FAILED_METHOD, RunState.FAILED_PLATFORM, RunState.TIMED_OUT, RunState.CANCELLED})

#: A worker holds a lease on a run in one of these.
ACTIVE = frozenset({RunState.LEASED, RunState.UNLEARNING, RunState.MEASURING, RunState.SCORING})
FINAL = _ENDS | {RunState.SCORED}
#: An organiser may put these back into the queue.
RETRYABLE = frozenset({RunState.FAILED_PLATFORM, RunState.TIMED_OUT})

#: From each state to the states that may follow. Stages may be jumped: a resumed run skips what is done already.
TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.LEASED, RunState.CANCELLED}),
    RunState.LEASED: frozenset({RunState.UNLEARNING, RunState.MEASURING, RunState.SCORING, RunState.QUEUED}) | _ENDS,
    RunState.UNLEARNING: frozenset({RunState.MEASURING, RunState.SCORING, RunState.QUEUED}) | _ENDS,
    RunState.MEASURING: frozenset({RunState.SCORING, RunState.QUEUED}) | _ENDS,
    RunState.SCORING: frozenset({RunState.SCORED, RunState.QUEUED}) | _ENDS,
    RunState.SCORED: frozenset(),
    RunState.FAILED_METHOD: frozenset(),
    RunState.FAILED_PLATFORM: frozenset({RunState.QUEUED}),
    RunState.TIMED_OUT: frozenset({RunState.QUEUED}),
    RunState.CANCELLED: frozenset({RunState.QUEUED}),  # only when the try-out that it waited for is retried
}


def sources_of(target: RunState) -> frozenset[RunState]:
    """The states from which `target` may be reached."""
    return frozenset(state for state, following in TRANSITIONS.items() if target in following)
