"""Who may do what with methods and submissions."""

from __future__ import annotations

from leaderboard.accounts.viewers import Viewer, is_organiser
from leaderboard.methods.models import Method, Submission, SubmissionState


def may_submit_for(viewer: Viewer, method: Method) -> bool:
    """Its owner and organisers add versions to a method."""
    return viewer.is_authenticated and (method.owner_id == viewer.pk or is_organiser(viewer))


def may_see(viewer: Viewer, method: Method) -> bool:
    """A method that is not registered yet is its owner's business, and the organisers'."""
    return method.registered_at is not None or may_submit_for(viewer, method)


def may_see_problems(viewer: Viewer, submission: Submission) -> bool:
    """Why a submission was refused is its submitter's business."""
    return submission.submitter_id == viewer.pk or is_organiser(viewer)


def may_withdraw(viewer: Viewer, submission: Submission) -> bool:
    open_states = {SubmissionState.SUBMITTED, SubmissionState.INSPECTING, SubmissionState.ACCEPTED}
    return submission.state in open_states and (submission.submitter_id == viewer.pk or is_organiser(viewer))
