"""Writes of boards: has the evaluator rank the scored runs and stores the outcome as an immutable snapshot."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db.models import Max

from evaluator.contract.disclosure import number_shown
from leaderboard.audit.services import audit_record, audited
from leaderboard.benchmarks.models import Release
from leaderboard.boards.models import BoardSnapshot
from leaderboard.boards.selectors import board_latest
from leaderboard.core.evaluator_process import evaluator_call
from leaderboard.core.locks import lock_hold
from leaderboard.methods.models import Kind, Submission, SubmissionState
from leaderboard.runs.models import Run
from leaderboard.runs.states import RunState
from leaderboard.traces.selectors import trace_open

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
        payload = _payload(release, evaluator, runs, _rank(release, evaluator, runs))
        with audited():
            revisions = BoardSnapshot.objects.filter(release=release, evaluator=evaluator)
            revision = (revisions.aggregate(last=Max("revision"))["last"] or 0) + 1
            payload["revision"] = revision
            snapshot = BoardSnapshot.objects.create(
                release=release, evaluator=evaluator, revision=revision, payload=payload, inputs_sha256=digest
            )
            after = {"release": release.slug, "evaluator": evaluator, "revision": revision, "inputs_sha256": digest}
            audit_record(actor="board", action="board.snapshot", target=snapshot, after=after)
            return snapshot


def boards_refresh() -> int:
    """Publish every board whose runs have changed since its snapshot (a doorbell was lost); how many."""
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
    """What the board is made of: scored runs of submissions that were not withdrawn."""
    found = Run.objects.filter(
        release=release,
        state=RunState.SCORED,
        evaluator=evaluator,
        submission__state=SubmissionState.ACCEPTED,
        trace__isnull=False,
    )
    return list(found.select_related("submission__method", "trace").order_by("submission_id", "seed"))


def _inputs_sha256(runs: list[Run]) -> str:
    text = "\n".join(f"{run.id} {run.trace.sha256} {run.submission.method.slug}" for run in runs)
    return hashlib.sha256(text.encode()).hexdigest()


def _rank(release: Release, evaluator: str, runs: list[Run]) -> dict[str, Any]:
    """The evaluator's ranking: `{columns, entries, pairs, mde}`."""
    by_submission: dict[str, list[dict[str, str]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="palimpsest-rank-") as name:
        folder = Path(name)
        for run in runs:
            trace, scorecard = folder / f"{run.id}.parquet", folder / f"{run.id}.json"
            with trace_open(run.trace) as source, trace.open("wb") as target:
                shutil.copyfileobj(source, target)
            scorecard.write_text(json.dumps(run.scorecard))
            by_submission[run.submission_id].append({"trace": str(trace), "scorecard": str(scorecard)})
        spec, out = folder / "spec.json", folder / "out.json"
        base = _base_submission(runs)
        entries = [
            {"id": ident, "runs": files} | ({"control": "base"} if ident == base else {})
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
            ranking: dict[str, Any] = json.loads(out.read_text())
        except (OSError, ValueError) as error:
            raise RankingFailed(f"rank ended with {answer.code}: {answer.stderr[-2000:]}") from error
    if answer.code != 0:
        raise RankingFailed(f"rank ended with {answer.code}: {answer.stderr[-2000:]}")
    return ranking


def _base_submission(runs: list[Run]) -> str | None:
    """The newest submission of the control that leaves the base as it is (`BASE_METHOD`), if it is on the board."""
    found = [
        run.submission
        for run in runs
        if run.submission.method.slug == settings.BASE_METHOD and run.submission.method.kind == Kind.CONTROL
    ]
    return max(found, key=lambda submission: (submission.created_at, submission.id)).id if found else None


def _payload(release: Release, evaluator: str, runs: list[Run], ranking: dict[str, Any]) -> dict[str, Any]:
    """The Board JSON. On a hidden release its numbers are withheld as on the run page."""
    by_submission: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_submission[run.submission_id].append(run)
    exact = release.is_open
    groups = {column["key"]: column["group"] for column in ranking["columns"]}
    rows = [_row(by_submission[entry["id"]], entry, groups, exact=exact) for entry in ranking["entries"]]
    return {
        "board": release.slug,
        "release": release.slug,
        "evaluator": evaluator,
        "generated_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "title": release.title,
        "split": release.split,
        "release_version": release.version,
        "columns": ranking["columns"],
        "rows": rows,
        "pairs": ranking.get("pairs", {}),
        "mde": ranking.get("mde"),
    }


def _row(runs: list[Run], entry: dict[str, Any], groups: dict[str, str], *, exact: bool) -> dict[str, Any]:
    submission: Submission = runs[0].submission
    method = submission.method
    return {
        "rank": entry["rank"],
        "rank_low": entry["rank_low"],
        "rank_high": entry["rank_high"],
        "method": method.name,
        "submission": submission.id,
        "division": submission.division,
        "kind": method.kind,
        "scores": {key: _score(groups[key], score, exact=exact) for key, score in entry["scores"].items()},
        "method_slug": method.slug,
        "version": submission.version,
        "paper": method.paper,
        "code": method.code,
        "runs": [run.id for run in runs],
        "seeds": [run.seed for run in runs],
        "tied_with": entry.get("tied_with", []),
        "differences": entry.get("differences", {}),
        "seed_spread": entry.get("seeds"),
        "pareto": bool(entry.get("pareto", False)),
        "stores_forget_text": any(run.scorecard.get("stores_forget_text", False) for run in runs),
        "submitted_at": submission.created_at.isoformat(timespec="seconds"),
    }


def _score(group: str, score: dict[str, float | None], *, exact: bool) -> dict[str, float | None]:
    numbers = {name: score.get(name) for name in ("value", "low", "high")}
    return numbers if exact else {name: number_shown(number, group=group) for name, number in numbers.items()}
