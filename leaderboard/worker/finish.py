"""The end of a run that was scored: scores, receipt and trace pointer, all or nothing."""

from __future__ import annotations

from django.utils import timezone

from evaluator.contract import Receipt, RunSeconds, Scorecard
from leaderboard.audit.services import audited
from leaderboard.core.task_messages import BOARD_PUBLISH, RUN_NEXT, task_send
from leaderboard.runs.models import Run, Score
from leaderboard.runs.services import LOG_TAIL_BYTES, Lease, LeaseLost, run_transition, text_storable
from leaderboard.runs.states import RunState
from leaderboard.traces.models import TraceFile
from leaderboard.traces.store import StoredTrace, trace_fields


def run_finish(
    *,
    lease: Lease,
    scorecard: Scorecard,
    receipt: Receipt,
    seconds: RunSeconds,
    trace: StoredTrace,
    log_tail: str = "",
) -> Run:
    """SCORED, with scores, receipt, seconds and trace pointer, all or nothing. Raises `LeaseLost`.

    Done again by the same lease it changes nothing: a commit whose answer got lost is asked for twice.
    """
    with audited():
        done = Run.objects.filter(id=lease.run_id, fence=lease.fence, state=RunState.SCORED, trace__path=trace.path)
        if (run := done.first()) is not None:
            return run
        changed = run_transition(
            run_id=lease.run_id,
            target=RunState.SCORED,
            actor=lease.owner,
            fence=lease.fence,
            evaluator=scorecard.evaluator,
            scorecard=scorecard.model_dump(mode="json"),
            receipt=receipt.model_dump(mode="json"),
            seconds=seconds.model_dump(mode="json"),
            log_tail=text_storable(log_tail)[-LOG_TAIL_BYTES:],
            stage="done",
            fraction=1.0,
            message="",
            finished_at=timezone.now(),
        )
        if not changed:
            raise LeaseLost(lease.run_id)
        run = Run.objects.select_related("release").get(id=lease.run_id)
        for score in scorecard.scores:
            fields = {k: getattr(score, k) for k in ("version", "value", "low", "high", "n_items", "n_subjects")}
            Score.objects.update_or_create(run=run, key=score.key, defaults=fields)
        TraceFile.objects.update_or_create(run=run, defaults=trace_fields(trace))
        for follower in run.followers.filter(state=RunState.QUEUED):
            task_send(RUN_NEXT, follower.id)
        task_send(BOARD_PUBLISH, run.release.slug)
    return run
