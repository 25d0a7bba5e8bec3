"""Writes of runs. Every change of state is one compare-and-set with its event row, in one transaction.

A worker proves with its `Lease` that the run is still its own: the fence number grows whenever a run changes hands, so
a worker that was given up for dead and comes back late writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from evaluator.contract import PLATFORM_FAILURES, FailureCode
from leaderboard.accounts.models import User
from leaderboard.audit.services import audited
from leaderboard.benchmarks.models import Release
from leaderboard.core.problems import Conflict, NotAllowed, problem_make
from leaderboard.core.task_messages import RUN_NEXT, task_send
from leaderboard.methods.models import Submission
from leaderboard.runs import policies
from leaderboard.runs.models import Run, RunEvent
from leaderboard.runs.selectors import run_claimable
from leaderboard.runs.states import ACTIVE, FINAL, RunState, sources_of

logger = structlog.get_logger(__name__)

PRIORITY_TRYOUT = 10
TRYOUT_FAILED = "Not started: its try-out"
LOG_TAIL_BYTES = 65_536
#: The longest hold that a heartbeat may ask for, for work that cannot beat: storing a large trace.
INGEST_HOLD_S = 300.0


@dataclass(frozen=True)
class Lease:
    """A worker's hold on a run."""

    run_id: str
    fence: int
    owner: str
    attempt: int


class LeaseLost(RuntimeError):
    """The run belongs to somebody else by now: stop, and write nothing."""


def run_enqueue(
    *, submission: Submission, release: Release, seed: int, priority: int = 0, waits_for: Run | None = None, actor: str
) -> Run:
    """The run of (submission, release, seed), made if it is not there yet, and a worker told."""
    with audited():
        try:
            with transaction.atomic():
                run = Run.objects.create(
                    submission=submission,
                    release=release,
                    seed=seed,
                    priority=priority,
                    waits_for=waits_for,
                    queued_at=timezone.now(),
                    notified_at=timezone.now(),
                )
        except IntegrityError:
            return Run.objects.get(submission=submission, release=release, seed=seed)
        RunEvent.objects.create(run=run, to_state=RunState.QUEUED, actor=actor)
        if waits_for is None:
            task_send(RUN_NEXT, run.id)
    return run


def run_claim(*, owner: str, host: str) -> Lease | None:
    """Lease the next run in the queue, or None. Two workers never get the same run."""
    for run in run_claimable()[:20]:
        now = timezone.now()
        claimed = run_transition(
            run_id=run.id,
            target=RunState.LEASED,
            actor=owner,
            fence=run.fence,
            note=f"attempt {run.attempt + 1}",
            fence_bump=True,
            attempt=F("attempt") + 1,
            lease_owner=owner,
            lease_expires_at=now + timedelta(seconds=settings.RUN_LEASE_TTL_S),
            heartbeat_at=now,
            deadline_at=now + timedelta(seconds=settings.RUN_WALL_S),
            suspected_at=None,
            started_at=run.started_at or now,
            finished_at=None,
            sweep_host=host,
            stage="starting",
            fraction=0.0,
            message="",
            failure_code="",
            reason="",
            detail="",
        )
        if claimed:
            return Lease(run.id, run.fence + 1, owner, run.attempt + 1)
    return None


def run_heartbeat(
    *,
    lease: Lease,
    stage: str = "",
    fraction: float = 0.0,
    message: str = "",
    hold_s: float | None = None,
    left_s: float | None = None,
) -> bool:
    """Extend the lease and note the progress; True when a cancel was asked for. Raises `LeaseLost`.

    `hold_s` asks for a longer hold before work that cannot beat. `left_s` is what the worker's own, monotonic clock
    leaves of the run's time: the deadline is written anew by each beat, so that a host's clock may be set under it.
    """
    now = timezone.now()
    held = Run.objects.filter(id=lease.run_id, fence=lease.fence, state__in=ACTIVE)
    changed = held.update(
        heartbeat_at=now,
        lease_expires_at=now + timedelta(seconds=hold_s or settings.RUN_LEASE_TTL_S),
        deadline_at=F("deadline_at") if left_s is None else now + timedelta(seconds=left_s),
        suspected_at=None,
        stage=text_storable(stage)[:20],
        fraction=min(max(fraction, 0.0), 1.0),
        message=text_storable(message)[:300],
    )
    if not changed:
        raise LeaseLost(lease.run_id)
    return held.filter(cancel_requested=True).exists()


def run_advance(*, lease: Lease, target: RunState) -> None:
    """Go on to the next stage; done again it changes nothing. Raises `LeaseLost`."""
    if run_transition(run_id=lease.run_id, target=target, actor=lease.owner, fence=lease.fence):
        return
    if not Run.objects.filter(id=lease.run_id, fence=lease.fence, state=target).exists():
        raise LeaseLost(lease.run_id)


def run_fail(*, lease: Lease, code: FailureCode, detail: str = "", log_tail: str = "", reason: str = "") -> RunState:
    """End a run that has no scorecard; a failure of the platform goes back into the queue while attempts are left.

    Returns the state it got. Raises `LeaseLost`.
    """
    if code in PLATFORM_FAILURES and lease.attempt < settings.RUN_MAX_ATTEMPTS:
        target = RunState.QUEUED
    elif code in PLATFORM_FAILURES:
        target = RunState.FAILED_PLATFORM
    else:
        target = RunState.TIMED_OUT if code == FailureCode.TIMEOUT else RunState.FAILED_METHOD
    if not run_end(
        run_id=lease.run_id,
        target=target,
        actor=lease.owner,
        fence=lease.fence,
        code=code,
        detail=detail,
        log_tail=log_tail,
        reason=reason,
        attempt=lease.attempt,
    ):
        raise LeaseLost(lease.run_id)
    return target


def run_hand_back(*, lease: Lease) -> None:
    """A worker that shuts down in order gives its run back; the attempt does not count."""
    run_transition(
        run_id=lease.run_id,
        target=RunState.QUEUED,
        actor=lease.owner,
        fence=lease.fence,
        note="the worker was stopped",
        fence_bump=True,
        attempt=lease.attempt - 1,
        lease_owner="",
        lease_expires_at=None,
        queued_at=timezone.now(),
        notified_at=None,
    )


def run_end(
    *,
    run_id: str,
    target: RunState,
    actor: str,
    fence: int,
    code: FailureCode | None = None,
    detail: str = "",
    log_tail: str = "",
    reason: str = "",
    attempt: int = 0,
    needs_sweep: bool = False,
) -> bool:
    """Take the lease away: to a final state other than SCORED, or back to QUEUED. False when `fence` is old."""
    now = timezone.now()
    requeued = target == RunState.QUEUED
    with audited():
        changed = run_transition(
            run_id=run_id,
            target=target,
            actor=actor,
            fence=fence,
            note=reason,
            fence_bump=True,
            lease_owner="",
            lease_expires_at=None,
            failure_code="" if requeued or code is None else code.value,
            reason="" if requeued else reason,
            detail=text_storable(detail)[-LOG_TAIL_BYTES:],
            log_tail=text_storable(log_tail)[-LOG_TAIL_BYTES:],
            finished_at=None if requeued else now,
            queued_at=now + timedelta(seconds=settings.RUN_BACKOFF_S * attempt) if requeued else F("queued_at"),
            notified_at=None if requeued else F("notified_at"),
            needs_sweep=needs_sweep,
        )
        if changed and requeued:
            task_send(RUN_NEXT, run_id)
        elif changed:
            _followers_cancel(run_id, target)
    return changed


def run_cancel(*, run: Run, user: User, reason: str = "Cancelled on request.") -> Run:
    """Cancel now when it waits; ask its worker to stop when it runs. Raises `NotAllowed`, `Conflict`."""
    if not (policies.is_submitter(user, run) or user.is_organiser):
        raise NotAllowed(
            [problem_make("run", run.id, "is not yours", "ask its submitter or an organiser to cancel it")]
        )
    if not run_stop(run=run, actor=f"user:{user.username}", reason=reason):
        current = Run.objects.get(id=run.id).state
        raise Conflict([problem_make("run", run.id, f"has ended already as {current}", "nothing is left to cancel")])
    run.refresh_from_db()
    return run


def run_stop(*, run: Run, actor: str, reason: str) -> bool:
    """Cancel it at once when it waits, else ask its worker to stop; False for one that has ended."""
    with audited():
        current = Run.objects.select_for_update().get(id=run.id)
        if current.state == RunState.QUEUED:
            return run_end(run_id=run.id, target=RunState.CANCELLED, actor=actor, fence=current.fence, reason=reason)
        if current.state not in ACTIVE:
            return False
        Run.objects.filter(id=run.id).update(cancel_requested=True, reason=reason)
        _event(current, current.state, actor, "cancel asked for")
        return True


def run_retry(*, run: Run, user: User) -> Run:
    """Put a run that the platform failed back into the queue, with the runs that waited for it.

    Organisers retry time-outs too, and as often as they like; a submitter retries `RUN_SUBMITTER_RETRIES` times.
    Raises `NotAllowed`, `Conflict`.
    """
    if not (policies.is_submitter(user, run) or user.is_organiser):
        raise NotAllowed([problem_make("run", run.id, "is not yours", "ask its submitter or an organiser to retry it")])
    actor = f"user:{user.username}"
    with audited():
        current = Run.objects.select_for_update().get(id=run.id)
        if not policies.may_retry(user, current) or not _requeue(current, actor, counted=not user.is_organiser):
            raise Conflict([policies.retry_problem(user, current)])
        for follower in run.followers.filter(state=RunState.CANCELLED, reason__startswith=TRYOUT_FAILED):
            _requeue(follower, actor, counted=False)
    run.refresh_from_db()
    return run


def run_transition(
    *, run_id: str, target: RunState, actor: str, fence: int, note: str = "", fence_bump: bool = False, **changes: Any
) -> bool:
    """The one way from state to state: allowed by the table, or False and nothing written."""
    with audited():
        rows = Run.objects.filter(id=run_id, state__in=sources_of(target), fence=fence)
        before = rows.select_for_update().values("state", "attempt").first()
        if before is None:
            return False
        if fence_bump:
            changes["fence"] = fence + 1
        if not rows.filter(state=before["state"]).update(state=target, **changes):
            return False
        RunEvent.objects.create(
            run_id=run_id,
            from_state=before["state"],
            to_state=target,
            fence=fence + fence_bump,
            attempt=before["attempt"] + (target == RunState.LEASED),
            actor=actor[:120],
            note=note[:300],
        )
    logger.info("run", run=run_id, was=before["state"], now=str(target), actor=actor, note=note)
    return True


def text_storable(said: str) -> str:
    """Without the zero bytes and half characters that a database refuses to store; a method chooses what it says."""
    return said.replace("\x00", "").encode(errors="replace").decode()


def _event(run: Run, target: str, actor: str, note: str) -> None:
    RunEvent.objects.create(
        run=run, from_state=run.state, to_state=target, fence=run.fence, attempt=run.attempt, actor=actor, note=note
    )


def _requeue(run: Run, actor: str, *, counted: bool) -> bool:
    changed = run_transition(
        run_id=run.id,
        target=RunState.QUEUED,
        actor=actor,
        fence=run.fence,
        note="retried",
        fence_bump=True,
        attempt=0,
        retries=F("retries") + int(counted),
        failure_code="",
        reason="",
        detail="",
        finished_at=None,
        cancel_requested=False,
        queued_at=timezone.now(),
    )
    if changed:
        task_send(RUN_NEXT, run.id)
    return changed


def _followers_cancel(run_id: str, target: RunState) -> None:
    if target not in FINAL:
        return
    for follower in Run.objects.filter(waits_for_id=run_id, state=RunState.QUEUED):
        run_end(
            run_id=follower.id,
            target=RunState.CANCELLED,
            actor="queue",
            fence=follower.fence,
            reason=f"{TRYOUT_FAILED} {run_id} ended as {target}.",
        )
