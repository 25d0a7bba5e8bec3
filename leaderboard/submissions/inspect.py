"""Inspect a submission: the evaluator looks at image and manifest; it is accepted with runs, or refused."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, OperationalError
from django.db.models import Q
from django.utils import timezone

from leaderboard.audit.services import audited
from leaderboard.core.db import connections_renew
from leaderboard.core.evaluator_process import Answer, evaluator_call
from leaderboard.core.problems import problem_make
from leaderboard.methods.models import Submission, SubmissionState
from leaderboard.methods.services import method_registered
from leaderboard.submissions import checks
from leaderboard.submissions.enqueue import runs_enqueue
from leaderboard.submissions.move import submission_move

logger = structlog.get_logger(__name__)

INSPECTION_TRIES = 3
_INSPECT_OK, _INSPECT_REFUSED = 0, 2


def submission_inspect(*, submission_id: str) -> Submission | None:
    """Have the evaluator look at the image and the manifest; accept with runs, or refuse with every reason.

    None when somebody else inspects it or it is inspected already.
    """
    if not submission_move(submission_id, SubmissionState.SUBMITTED, SubmissionState.INSPECTING):
        return None
    submission = Submission.objects.get(id=submission_id)
    answer = _inspect(submission)
    report = _report(answer)
    resolved = submission.resolved or str(report.get("image", ""))
    if answer.code == _INSPECT_OK and report.get("ok") and checks.image_digest(resolved):
        return _accept(submission, report, resolved)
    if answer.code == _INSPECT_REFUSED and report.get("problems"):
        return _refuse(submission, report, report["problems"])
    logger.error("inspection failed", submission=submission_id, code=answer.code, stderr=answer.stderr[-2000:])
    if submission.inspection_tries + 1 < INSPECTION_TRIES:  # ours: the reaper sends it again
        tries = submission.inspection_tries + 1
        submission_move(submission_id, SubmissionState.INSPECTING, SubmissionState.SUBMITTED, inspection_tries=tries)
        return Submission.objects.get(id=submission_id)
    fault = problem_make(
        "image", submission.image, "could not be inspected: the platform failed", "submit it again; it costs no quota"
    )
    return _refuse(submission, report, [fault])


def _inspect(submission: Submission) -> Answer:
    with tempfile.TemporaryDirectory(prefix="palimpsest-inspect-") as folder:
        manifest = Path(folder) / "manifest.json"
        manifest.write_text(json.dumps(submission.manifest))
        arguments = ["inspect", "--image", submission.image, "--manifest", str(manifest)]
        arguments += ["--backend", settings.EVALUATOR_BACKEND]
        return evaluator_call(arguments, wall_s=settings.INSPECT_WALL_S, beat=lambda: _inspection_beat(submission.id))


def _inspection_beat(submission_id: str) -> None:
    """Say that the inspection goes on; a database that is away for a moment is no reason to end it."""
    try:
        Submission.objects.filter(id=submission_id, state=SubmissionState.INSPECTING).update(updated_at=timezone.now())
    except OperationalError as error:
        logger.warning("database away; the inspection goes on", submission=submission_id, error=str(error))
        connections_renew()


def _report(answer: Answer) -> dict[str, Any]:
    try:
        report = json.loads(answer.stdout)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _accept(submission: Submission, report: dict[str, Any], resolved: str) -> Submission:
    digest, image_id = checks.image_digest(resolved), str(report.get("image_id", ""))[:80]
    changes: dict[str, Any] = {"resolved": resolved, "digest": digest, "image_id": image_id, "inspection": report}
    try:
        with audited():
            if submission_move(submission.id, SubmissionState.INSPECTING, SubmissionState.ACCEPTED, **changes):
                method_registered(method=submission.method)
                runs_enqueue(submission)
    except IntegrityError:  # the same image under another name
        same = Q(digest=digest) | Q(image_id=image_id)
        earlier = Submission.objects.filter(same, entry_sha256=submission.entry_sha256).exclude(
            Q(id=submission.id) | Q(state=SubmissionState.REFUSED)
        )
        if (first := earlier.first()) is None:
            raise
        return _refuse(submission, report, [checks.repeat_problem(submission.image, first)])
    submission.refresh_from_db()
    return submission


def _refuse(submission: Submission, report: dict[str, Any], problems: Sequence[Any]) -> Submission:
    submission_move(
        submission.id, SubmissionState.INSPECTING, SubmissionState.REFUSED, problems=list(problems), inspection=report
    )
    submission.refresh_from_db()
    return submission
