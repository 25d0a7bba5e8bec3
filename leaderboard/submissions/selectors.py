"""Reads of submissions, and of methods with what was submitted for them."""

from __future__ import annotations

from django.db.models import Count, Max, Prefetch, Q, QuerySet

from leaderboard.accounts.models import User
from leaderboard.accounts.viewers import Viewer, is_organiser
from leaderboard.methods.models import Method, Submission
from leaderboard.runs.models import Run
from leaderboard.runs.states import RunState


def method_list(*, viewer: Viewer | None = None) -> QuerySet[Method]:
    """Registered methods by name, and those that are not of a `viewer` who may see them; with `n_submissions`,
    `n_scored` (runs) and `last_submitted_at`.
    """
    seen = Method.objects.select_related("owner")
    if viewer is None or not viewer.is_authenticated:
        seen = seen.filter(registered_at__isnull=False)
    elif not is_organiser(viewer):
        seen = seen.filter(Q(registered_at__isnull=False) | Q(owner=viewer.pk))
    return seen.annotate(
        n_submissions=Count("submissions", distinct=True),
        n_scored=Count("submissions__runs", filter=Q(submissions__runs__state=RunState.SCORED), distinct=True),
        last_submitted_at=Max("submissions__created_at"),
    )


def submission_list(
    *, method: Method | None = None, submitter: User | None = None, state: str | None = None
) -> QuerySet[Submission]:
    """Submissions, newest first, with method, submitter, releases and runs (each with its release) at hand."""
    runs = Run.objects.select_related("release").order_by("release__slug", "seed")
    found = Submission.objects.select_related("method", "submitter").prefetch_related(
        "releases", Prefetch("runs", queryset=runs)
    )
    if method is not None:
        found = found.filter(method=method)
    if submitter is not None:
        found = found.filter(submitter=submitter)
    if state is not None:
        found = found.filter(state=state)
    return found


def submission_get(*, submission_id: str) -> Submission:
    """One submission as in `submission_list`. Raises `Submission.DoesNotExist`."""
    return submission_list().get(id=submission_id)
