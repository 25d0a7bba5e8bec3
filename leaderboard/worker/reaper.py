"""The reaper: finds runs that nobody takes care of any more. One function a case; each is safe to run twice.

Times in rows are wall-clock times of several hosts, and clocks are set. So no time alone takes a run from a worker:
a lease that looks old is only suspected at first, and a beat of its worker, whatever its clock says, clears it.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from evaluator.contract import FailureCode
from leaderboard.core.task_messages import RUN_NEXT, SUBMISSION_INSPECT, task_send
from leaderboard.methods.models import Submission, SubmissionState
from leaderboard.runs import services
from leaderboard.runs.models import Run, Worker
from leaderboard.runs.selectors import run_claimable
from leaderboard.runs.states import ACTIVE, RunState
from leaderboard.submissions.move import submission_move
from leaderboard.uploads.services import uploads_sweep
from leaderboard.worker.execute import run_sweep

logger = structlog.get_logger(__name__)

_ACTOR = "reaper"
_WORKER_FORGET = timedelta(days=1)
_CLOCKS_DIFFER = timedelta(minutes=1)  # between hosts, at most, before it looks like a clock that was set


def reap() -> dict[str, int]:
    """Look at every case once; how many rows each one changed."""
    now = timezone.now()
    return {
        "never_started": reap_never_started(now=now),
        "silent": reap_silent(now=now),
        "past_deadline": reap_past_deadline(),
        "orphans": reap_orphans(),
        "uninspected": reap_uninspected(now=now),
        "uploads": uploads_sweep(now=now),
        "workers_forgotten": Worker.objects.filter(seen_at__lt=now - _WORKER_FORGET).delete()[0],
    }


def reap_never_started(*, now: datetime) -> int:
    """Waits in the queue, but its message was lost (or a worker died with it in its hands): send it again.

    One message is enough for any number of waiting runs: a worker that wakes up goes on until the queue is empty.
    """
    pause = timedelta(seconds=settings.RUN_NOTIFY_AFTER_S)
    waiting = run_claimable(now=now).filter(Q(notified_at=None) | ~Q(notified_at__range=(now - pause, now + pause)))
    first = waiting.first()
    if first is None:
        return 0
    notified = Run.objects.filter(id__in=list(waiting.values_list("id", flat=True))).update(notified_at=now)
    task_send(RUN_NEXT, first.id)
    return notified


def reap_silent(*, now: datetime) -> int:
    """Its worker's process on this host is gone, or its lease is old and no beat came since that was first seen: back
    to the queue, or given up.
    """
    count = 0
    for run in Run.objects.filter(state__in=ACTIVE):
        if not _owner_is_gone(run.lease_owner):
            if not _lease_is_old(run, now):
                continue
            if run.suspected_at is None:
                Run.objects.filter(id=run.id, fence=run.fence, heartbeat_at=run.heartbeat_at).update(suspected_at=now)
            if run.suspected_at is None or abs((now - run.suspected_at).total_seconds()) < settings.RUN_SUSPECT_S:
                continue
        if run.cancel_requested:
            target, code, reason = RunState.CANCELLED, None, run.reason or "Cancelled on request."
        elif run.attempt < settings.RUN_MAX_ATTEMPTS:
            target, code, reason = RunState.QUEUED, None, "Its worker fell silent; the run is repeated."
        else:
            target, code = RunState.FAILED_PLATFORM, FailureCode.PLATFORM_ERROR
            reason = f"Its worker fell silent {run.attempt} times."
        count += services.run_end(
            run_id=run.id, target=target, actor=_ACTOR, fence=run.fence, code=code, reason=reason, needs_sweep=True
        )
    return count


def reap_past_deadline() -> int:
    """Beats, but past its deadline by more than a worker needs to stop it: the worker is stuck.

    One beat writes both times, so they come from one clock; one that is silent is not this case.
    """
    grace = timedelta(seconds=2 * settings.RUN_KILL_GRACE_S + settings.RUN_LEASE_TTL_S)
    count = 0
    for run in Run.objects.filter(state__in=ACTIVE, heartbeat_at__gt=F("deadline_at") + grace):
        count += services.run_end(
            run_id=run.id,
            target=RunState.TIMED_OUT,
            actor=_ACTOR,
            fence=run.fence,
            code=FailureCode.TIMEOUT,
            reason="The run was past its deadline and its worker did not stop it.",
            needs_sweep=True,
        )
    return count


def reap_orphans() -> int:
    """A run was taken from its worker: remove the evaluator and the containers that may be left on this host."""
    count = 0
    left = Run.objects.filter(needs_sweep=True, sweep_host=socket.gethostname()).exclude(state__in=ACTIVE)
    for run in left:
        if run_sweep(run.id):
            count += Run.objects.filter(id=run.id, fence=run.fence).update(needs_sweep=False)
    return count


def reap_uninspected(*, now: datetime) -> int:
    """A submission whose inspection never began, or whose inspector fell silent."""
    waiting = now - timedelta(seconds=settings.RUN_NOTIFY_AFTER_S)
    dead = now - timedelta(seconds=2 * settings.RUN_LEASE_TTL_S)
    ahead = now + timedelta(seconds=settings.INSPECT_WALL_S)  # written before a clock was set back
    unsure = Q(updated_at__lt=dead) | Q(updated_at__gt=ahead)
    stuck = Submission.objects.filter(unsure, state=SubmissionState.INSPECTING)
    for ident in list(stuck.values_list("id", flat=True)):
        submission_move(
            ident,
            SubmissionState.INSPECTING,
            SubmissionState.SUBMITTED,
            actor=_ACTOR,
            inspection_tries=F("inspection_tries") + 1,
        )
    unsure = Q(updated_at__lt=waiting) | Q(updated_at__gt=ahead)
    found = list(Submission.objects.filter(unsure, state=SubmissionState.SUBMITTED).values_list("id", flat=True))
    Submission.objects.filter(id__in=found).update(updated_at=now)
    for ident in found:
        task_send(SUBMISSION_INSPECT, ident)
    return len(found)


def _lease_is_old(run: Run, now: datetime) -> bool:
    """Past its end, or further ahead than any lease: that one was written before a clock was set back."""
    longest = timedelta(seconds=max(settings.RUN_LEASE_TTL_S, services.INGEST_HOLD_S)) + _CLOCKS_DIFFER
    return run.lease_expires_at is None or not now <= run.lease_expires_at <= now + longest


def _owner_is_gone(owner: str) -> bool:
    """True only when `worker:host:pid` names this host and no such process lives."""
    parts = owner.rsplit(":", 2)
    if len(parts) != 3 or parts[1] != socket.gethostname() or not parts[2].isdigit():
        return False
    try:
        os.kill(int(parts[2]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
