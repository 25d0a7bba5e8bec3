"""From state to state of a submission: a compare-and-set with its entry in the audit log."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from leaderboard.audit.services import audit_record, audited
from leaderboard.methods.models import SUBMISSION_TRANSITIONS, Submission, SubmissionState


def submission_move(
    submission_id: str, source: SubmissionState, target: SubmissionState, *, actor: str = "inspection", **changes: Any
) -> bool:
    """Compare-and-set of a submission's state, with its entry in the audit log; False when it is not in `source`."""
    if target not in SUBMISSION_TRANSITIONS[source]:
        return False
    with audited():
        rows = Submission.objects.filter(id=submission_id, state=source)
        moved = bool(rows.update(state=target, updated_at=timezone.now(), **changes))
        if moved:
            audit_record(
                actor=actor,
                action="submission.transition",
                target=("submission", submission_id),
                before={"state": source},
                after={"state": target},
            )
    return moved
