"""Reads of runs, the queue and the workers."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from leaderboard.runs.models import Run, Worker
from leaderboard.runs.states import ACTIVE, RunState


def run_list(
    *, submission_id: str | None = None, release_slug: str | None = None, state: str | None = None
) -> QuerySet[Run]:
    """Runs, newest first, with everything that `policies.run_view` reads: 3 queries for any number of rows."""
    found = Run.objects.select_related(
        "submission__method", "submission__submitter", "release", "trace"
    ).prefetch_related("scores")
    if submission_id is not None:
        found = found.filter(submission_id=submission_id)
    if release_slug is not None:
        found = found.filter(release__slug=release_slug)
    if state is not None:
        found = found.filter(state=state)
    return found


def run_get(*, run_id: str) -> Run:
    """One run as in `run_list`. Raises `Run.DoesNotExist`."""
    return run_list().get(id=run_id)


def run_claimable(*, now: datetime | None = None) -> QuerySet[Run]:
    """What a worker may claim, first first. A run that follows a try-out waits until that is scored.

    A time further ahead than any back-off was written before a clock was set back: nothing waits for it.
    """
    now = now or timezone.now()
    beyond = now + timedelta(seconds=settings.RUN_BACKOFF_S * settings.RUN_MAX_ATTEMPTS)
    return (
        Run.objects.filter(state=RunState.QUEUED, cancel_requested=False)
        .filter(Q(waits_for=None) | Q(waits_for__state=RunState.SCORED))
        .filter(Q(queued_at__lte=now) | Q(queued_at__gt=beyond))
        .order_by("-priority", "queued_at", "id")
    )


def queue_list() -> QuerySet[Run]:
    """Everything that runs or waits, in the order in which it will be done."""
    return (
        run_list()
        .filter(state__in=[*ACTIVE, RunState.QUEUED])
        .order_by("-heartbeat_at", "-priority", "queued_at", "id")
    )


def run_folder(run_id: str) -> Path:
    """`PALIMPSEST_HOME/runs/<id>`: the evaluator's scratch (`work`) and outputs (`out`)."""
    return Path(settings.PALIMPSEST_HOME) / "runs" / run_id


def workers_alive(*, within_s: float = 60.0) -> list[Worker]:
    """The workers that were heard of lately, the latest first."""
    now, span = timezone.now(), timedelta(seconds=within_s)
    return list(Worker.objects.filter(seen_at__range=(now - span, now + span)))


def worker_alive() -> Worker | None:
    """The worker that was heard of last, if that is recent."""
    return next(iter(workers_alive()), None)
