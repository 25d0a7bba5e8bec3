"""Runs as each person may see them, by the rules of `evaluator.contract.disclosure`; and who may act on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from evaluator.contract import REMEDIES, FailureCode, MetricGroup, MetricInfo
from evaluator.contract.disclosure import Reader, Sight, duration_shown, number_shown, sight
from leaderboard.accounts.viewers import Viewer, is_organiser
from leaderboard.benchmarks.models import ReleaseState
from leaderboard.core.problems import Problem, problem_make
from leaderboard.runs.models import Run, Score
from leaderboard.runs.seconds import SecondsView, seconds_view
from leaderboard.runs.states import ACTIVE, RETRYABLE, RunState


@dataclass(frozen=True)
class ScoreView:
    """One metric as this viewer may see it; `value` None means "not run"."""

    key: str
    label: str
    direction: str  # up: higher is better
    group: str
    unit: str
    help: str
    headline: bool
    value: float | None
    low: float | None
    high: float | None
    n_items: int


@dataclass(frozen=True)
class RunView:
    """One run as this viewer may see it. Templates and the API read this and never the row."""

    id: str
    state: str
    state_label: str
    is_final: bool
    hidden: bool  # details are withheld from this viewer
    method: str
    method_slug: str
    submission: str
    release: str
    seed: int
    attempt: int
    waits_for: str | None
    cancel_requested: bool
    stage: str
    fraction: float | None
    message: str
    failure_code: str
    remedy: str
    reason: str
    detail: str
    log_tail: str
    evaluator: str
    duration: str
    queued_at: str
    started_at: str | None
    finished_at: str | None
    scores: list[ScoreView] = field(default_factory=list)
    receipt: dict[str, Any] = field(default_factory=dict)
    seconds: SecondsView | None = None  # None: withheld, or not there
    backend: str = ""  # where the method ran; empty until there is a receipt
    trace_redacted: bool | None = None  # None: no trace yet
    trace_sha256: str = ""
    trace_rows: int = 0
    may_cancel: bool = False
    may_retry: bool = False
    retries_left: int | None = None  # None: not for this viewer to say, or without a bound
    may_look: bool = False


def is_submitter(viewer: Viewer, run: Run) -> bool:
    return viewer.is_authenticated and run.submission.submitter_id == viewer.pk


def sight_of(viewer: Viewer, run: Run) -> Sight:
    """What `viewer` sees of `run`: the rule is the contract's, here is only who the viewer is."""
    if is_organiser(viewer):
        reader = Reader.ORGANISER
    else:
        reader = Reader.SUBMITTER if is_submitter(viewer, run) else Reader.ANYBODY
    return sight(reader, open_release=run.release.is_open)


def sees_details(viewer: Viewer, run: Run) -> bool:
    """Output, log and messages: organisers and the submitter, on an open release."""
    return sight_of(viewer, run).details


def may_look(viewer: Viewer, run: Run) -> bool:
    """Open what a hidden run printed: organisers, by an act of their own that is recorded (`runs.output`)."""
    return sight_of(viewer, run).on_record


def sees_exact_numbers(viewer: Viewer, run: Run) -> bool:
    """Unrounded scores and durations, of stages too: everybody on an open release, organisers on every one."""
    return sight_of(viewer, run).exact


def may_cancel(viewer: Viewer, run: Run) -> bool:
    cancellable = run.state == RunState.QUEUED or (run.state in ACTIVE and not run.cancel_requested)
    return cancellable and (is_submitter(viewer, run) or is_organiser(viewer))


def may_retry(viewer: Viewer, run: Run) -> bool:
    """Never a run that has a score or that its method failed: nobody rolls the dice again. Nor one on a release that
    has retired, whose facts everybody can read.
    """
    if run.release.state == ReleaseState.RETIRED:
        return False
    if is_organiser(viewer):
        return run.state in RETRYABLE
    return (
        run.state == RunState.FAILED_PLATFORM
        and is_submitter(viewer, run)
        and run.retries < settings.RUN_SUBMITTER_RETRIES
    )


def retry_problem(viewer: Viewer, run: Run) -> Problem:
    """Why `viewer` may not retry `run`, and what to do instead."""
    if run.release.state == ReleaseState.RETIRED:
        return problem_make("run", run.id, f"is on {run.release.slug}, which has retired", "submit to a newer release")
    if run.state == RunState.FAILED_PLATFORM:
        return problem_make("run", run.id, f"was retried {run.retries} times by its submitter", "ask an organiser")
    if run.state in RETRYABLE:
        return problem_make("run", run.id, f"is {run.state}", "only organisers repeat it; ask one, or submit anew")
    return problem_make(
        "run", run.id, f"is {run.state}", "only FAILED_PLATFORM and TIMED_OUT runs are retried; submit anew"
    )


def score_views(run: Run, *, exact: bool) -> list[ScoreView]:
    """The run's scores in the scorecard's own order. Wants `run.scores` prefetched."""
    infos = {info["key"]: MetricInfo.model_validate(info) for info in run.scorecard.get("metrics", [])}
    order = {key: position for position, key in enumerate(infos)}
    scores = sorted(run.scores.all(), key=lambda score: order.get(score.key, len(order)))
    return [_score_view(score, infos.get(score.key) or _undescribed(score), exact=exact) for score in scores]


def run_view(run: Run, viewer: Viewer) -> RunView:
    """What `viewer` may see of `run`. Wants submission.method, release, scores and trace loaded.

    What a hidden run printed is not in it, not even for organisers: they open it with `runs.output.run_output`.
    """
    details, exact = sees_details(viewer, run), sees_exact_numbers(viewer, run)
    live = details or may_look(viewer, run)
    trace = getattr(run, "trace", None)
    return RunView(
        id=run.id,
        state=run.state,
        state_label=RunState(run.state).label,
        is_final=run.is_final,
        hidden=not live,
        method=run.submission.method.name,
        method_slug=run.submission.method.slug,
        submission=run.submission_id,
        release=run.release.slug,
        seed=run.seed,
        attempt=run.attempt,
        waits_for=run.waits_for_id if run.state == RunState.QUEUED else None,
        cancel_requested=run.cancel_requested,
        stage=run.stage if live else RunState(run.state).label.lower(),
        fraction=run.fraction if live else None,
        message=run.message if details else "",
        failure_code=run.failure_code,
        remedy=REMEDIES[FailureCode(run.failure_code)] if run.failure_code else "",
        reason=run.reason,
        detail=run.detail if details else "",
        log_tail=run.log_tail if details else "",
        evaluator=run.evaluator,
        duration=_duration(run, exact=exact),
        queued_at=run.queued_at.isoformat(),
        started_at=run.started_at.isoformat() if run.started_at else None,
        finished_at=run.finished_at.isoformat() if run.finished_at and exact else None,
        scores=score_views(run, exact=exact),
        # A hidden run's receipt is signed with coarse durations and a keyed artifact hash: all may read it.
        receipt=run.receipt,
        # A method decides how long some stages take: of a hidden run they are durations like any other.
        seconds=seconds_view(run.seconds) if exact else None,
        backend=str(run.receipt.get("backend", "")),
        trace_redacted=trace.redacted if trace else None,
        trace_sha256=trace.sha256 if trace else "",
        trace_rows=trace.rows if trace else 0,
        may_cancel=may_cancel(viewer, run),
        may_retry=may_retry(viewer, run),
        retries_left=_retries_left(viewer, run),
        may_look=may_look(viewer, run),
    )


def _retries_left(viewer: Viewer, run: Run) -> int | None:
    if run.state != RunState.FAILED_PLATFORM or is_organiser(viewer) or not is_submitter(viewer, run):
        return None
    bound: int = settings.RUN_SUBMITTER_RETRIES
    return max(0, bound - run.retries)


def _undescribed(score: Score) -> MetricInfo:
    """Of a score that its scorecard does not describe."""
    return MetricInfo(
        key=score.key, version=score.version, label=score.key, direction="up", group=MetricGroup.OVERALL, help=""
    )


def _score_view(score: Score, info: MetricInfo, *, exact: bool) -> ScoreView:
    value, low, high = score.value, score.low, score.high
    if not exact:
        value, low, high = (number_shown(number, group=info.group) for number in (value, low, high))
    return ScoreView(
        key=score.key,
        label=info.label,
        direction=info.direction,
        group=info.group,
        unit=info.unit,
        help=info.help,
        headline=info.headline,
        value=value,
        low=low,
        high=high,
        n_items=score.n_items,
    )


def _duration(run: Run, *, exact: bool) -> str:
    if run.started_at is None or run.finished_at is None:
        return ""
    seconds = (run.finished_at - run.started_at).total_seconds()
    return duration_shown(seconds, exact=exact)
