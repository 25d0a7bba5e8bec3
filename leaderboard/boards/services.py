"""Writes of boards: has the evaluator rank the scored runs and stores the outcome as an immutable snapshot."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Max

from evaluator.contract import BoardPayload, BoardRow, RankedEntry, Ranking
from leaderboard.audit.services import audit_record, audited
from leaderboard.benchmarks.models import Release
from leaderboard.boards.models import BoardSnapshot
from leaderboard.boards.selectors import board_latest
from leaderboard.boards.withheld import payload_withheld
from leaderboard.core.evaluator_process import evaluator_call
from leaderboard.core.locks import lock_hold
from leaderboard.methods.models import Division, Kind, Submission, SubmissionState
from leaderboard.runs.models import Run
from leaderboard.runs.states import RunState
from leaderboard.traces.selectors import trace_ranked

logger = structlog.get_logger(__name__)

_RETRY_AFTER_S = 120


class RankingFailed(RuntimeError):
    """`python -m evaluator rank` did not leave a ranking."""


def board_publish(*, release_slug: str, evaluator: str = "") -> BoardSnapshot | None:
    """A new snapshot from the scored runs of a release, under the evaluator version of the newest one unless named.

    Returns the newest snapshot as it is when nothing has changed since, and None when nothing was ever scored.
    Raises `RankingFailed`.
    """
    release = Release.objects.get(slug=release_slug)
    with lock_hold(f"board-{release.slug}"):
        evaluator = evaluator or _evaluator_newest(release)
        newest = board_latest(release_slug=release.slug, evaluator=evaluator) if evaluator else None
        runs = _runs(release, evaluator)
        digest = _inputs_sha256(runs)
        if not evaluator or (newest is None and not runs):
            return None
        if newest is not None and newest.inputs_sha256 == digest:
            return newest
        ranking = _rank(release, evaluator, runs)
        with audited():
            revisions = BoardSnapshot.objects.filter(release=release, evaluator=evaluator)
            revision = (revisions.aggregate(last=Max("revision"))["last"] or 0) + 1
            payload = _payload(release, evaluator, runs, ranking, revision).model_dump(mode="json")
            payload = payload if release.is_open else payload_withheld(payload)
            snapshot = BoardSnapshot.objects.create(
                release=release, evaluator=evaluator, revision=revision, payload=payload, inputs_sha256=digest
            )
            after = {"release": release.slug, "evaluator": evaluator, "revision": revision, "inputs_sha256": digest}
            audit_record(actor="board", action="board.snapshot", target=snapshot, after=after)
            return snapshot


def boards_refresh() -> int:
    """Publish every board whose runs have changed since its snapshot (a message was lost); how many."""
    count = 0
    for release in Release.objects.filter(runs__state=RunState.SCORED).distinct():
        evaluator = _evaluator_newest(release)
        newest = board_latest(release_slug=release.slug, evaluator=evaluator)
        digest = _inputs_sha256(_runs(release, evaluator))
        if newest is not None and newest.inputs_sha256 == digest:
            continue
        if not cache.add(f"board-refresh:{release.slug}:{digest}", 1, _RETRY_AFTER_S):
            continue  # tried a moment ago: being published, or failing
        try:
            board_publish(release_slug=release.slug)
            count += 1
        except (RankingFailed, OSError):
            logger.exception("board not published", release=release.slug)
    return count


def _evaluator_newest(release: Release) -> str:
    newest = Run.objects.filter(release=release, state=RunState.SCORED).order_by("-finished_at").first()
    return newest.evaluator if newest else ""


def _runs(release: Release, evaluator: str) -> list[Run]:
    """What the board is made of: scored runs of each method's newest submission that was scored here and not withdrawn.
    Nobody picks the best of several: the one that its author sent last is the one that stands.
    """
    found = Run.objects.filter(
        release=release,
        state=RunState.SCORED,
        evaluator=evaluator,
        submission__state=SubmissionState.ACCEPTED,
        trace__isnull=False,
    )
    runs = list(found.select_related("submission__method", "trace").order_by("submission_id", "seed"))
    by_age = sorted(runs, key=lambda run: (run.submission.created_at, run.submission_id))
    newest = {run.submission.method_id: run.submission_id for run in by_age}
    return [run for run in runs if run.submission_id == newest[run.submission.method_id]]


def _inputs_sha256(runs: list[Run]) -> str:
    text = "\n".join(f"{run.id} {run.trace.sha256} {run.submission.method.slug}" for run in runs)
    return hashlib.sha256(text.encode()).hexdigest()


def _control(submission: Submission) -> dict[str, str]:
    """How the evaluator is told that an entry is a fixed point; the base is the control of the slug `BASE_METHOD`."""
    method = submission.method
    if method.kind != Kind.CONTROL:
        return {}
    return {"control": "base" if method.slug == settings.BASE_METHOD else "other"}


def _rank(release: Release, evaluator: str, runs: list[Run]) -> Ranking:
    """The evaluator's ranking."""
    by_submission: dict[str, list[dict[str, str]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="palimpsest-rank-") as name:
        folder = Path(name)
        for run in runs:
            trace, scorecard = folder / f"{run.id}.trace", folder / f"{run.id}.json"
            with trace_ranked(run.trace) as source, trace.open("wb") as target:
                shutil.copyfileobj(source, target)
            scorecard.write_text(json.dumps(run.scorecard))
            by_submission[run.submission_id].append({"trace": str(trace), "scorecard": str(scorecard)})
        spec, out = folder / "spec.json", folder / "out.json"
        submissions = {run.submission_id: run.submission for run in runs}
        entries = [
            {"id": ident, "runs": files} | _control(submissions[ident])
            for ident, files in sorted(by_submission.items())
        ]
        spec.write_text(
            json.dumps(
                {
                    "release": release.slug,
                    "content_sha256": release.content_sha256,
                    "evaluator": evaluator,
                    "resamples": settings.BOARD_RESAMPLES,
                    "entries": entries,
                }
            )
        )
        answer = evaluator_call(["rank", str(spec), "--out", str(out)], wall_s=settings.RANK_WALL_S)
        try:
            ranking = Ranking.model_validate_json(out.read_bytes())
        except (OSError, ValueError) as error:
            raise RankingFailed(f"rank ended with {answer.code}: {answer.stderr[-2000:]}") from error
    if answer.code != 0:
        raise RankingFailed(f"rank ended with {answer.code}: {answer.stderr[-2000:]}")
    return ranking


def _payload(release: Release, evaluator: str, runs: list[Run], ranking: Ranking, revision: int) -> BoardPayload:
    """The Board JSON, with the numbers that the evaluator gave."""
    by_submission: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_submission[run.submission_id].append(run)
    tries = _tries(release)
    return BoardPayload(
        board=release.slug,
        release=release.slug,
        evaluator=evaluator,
        generated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        revision=revision,
        title=release.title,
        split=release.split,
        release_version=release.version,
        columns=ranking.columns,
        rows=tuple(_row(by_submission[entry.id], entry, tries) for entry in ranking.entries),
        pairs=ranking.pairs,
        mde=ranking.mde,
    )


def _tries(release: Release) -> dict[int, int]:
    """By submitter, the submissions that were scored here, withdrawn ones too; organisers' entries are no tries."""
    organisers = {"submission__submitter__is_staff": True, "submission__submitter__is_active": True}
    scored = Run.objects.filter(release=release, state=RunState.SCORED).exclude(**organisers)
    counted = scored.values("submission__submitter").annotate(n=Count("submission", distinct=True))
    return {row["submission__submitter"]: row["n"] for row in counted.order_by()}


def _row(runs: list[Run], entry: RankedEntry, tries: Mapping[int, int]) -> BoardRow:
    submission: Submission = runs[0].submission
    method = submission.method
    return BoardRow(
        **entry.model_dump(exclude={"id"}),
        method=method.name,
        submission=submission.id,
        division=Division(submission.division).value,
        kind=method.kind,
        method_slug=method.slug,
        version=submission.version,
        paper=method.paper,
        code=method.code,
        runs=tuple(run.id for run in runs),
        seeds=tuple(run.seed for run in runs),
        stores_forget_text=any(run.scorecard.get("stores_forget_text", False) for run in runs),
        tries=tries.get(submission.submitter_id, 0),
        declared_falsely=any(run.scorecard.get("declared_falsely", False) for run in runs),
        submitted_at=submission.created_at.isoformat(timespec="seconds"),
    )
