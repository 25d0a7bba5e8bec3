"""Withdraw a submission: off the boards, what still runs is cancelled, its record stays."""

from __future__ import annotations

from leaderboard.accounts.models import User
from leaderboard.audit.services import actor_of, audited
from leaderboard.benchmarks.models import Release
from leaderboard.core.problems import Conflict, NotAllowed, problem_make
from leaderboard.core.task_messages import BOARD_PUBLISH, task_send
from leaderboard.methods import policies
from leaderboard.methods.models import Submission, SubmissionState
from leaderboard.runs import services as run_services
from leaderboard.runs.states import FINAL
from leaderboard.submissions.move import submission_move


def submission_withdraw(*, submission: Submission, user: User) -> Submission:
    """Take a submission off the boards and cancel what still runs; its record stays.

    Raises `NotAllowed`, `Conflict`.
    """
    if submission.submitter_id != user.pk and not user.is_organiser:
        raise NotAllowed(
            [problem_make("submission", submission.id, "is not yours", "ask its submitter or an organiser")]
        )
    with audited():
        source = SubmissionState(submission.state)
        if not policies.may_withdraw(user, submission) or not submission_move(
            submission.id, source, SubmissionState.WITHDRAWN, actor=actor_of(user)
        ):
            raise Conflict(
                [problem_make("submission", submission.id, f"is {submission.state}", "nothing is left to withdraw")]
            )
        for run in submission.runs.exclude(state__in=FINAL).order_by("waits_for"):
            run.refresh_from_db()
            if not run.is_final:
                run_services.run_cancel(run=run, user=user, reason="The submission was withdrawn.")
        for release in Release.objects.filter(runs__submission=submission).distinct():
            task_send(BOARD_PUBLISH, release.slug)
    submission.refresh_from_db()
    return submission
