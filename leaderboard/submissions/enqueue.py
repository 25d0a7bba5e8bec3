"""The runs of an accepted submission, each release after its try-out."""

from __future__ import annotations

from leaderboard.benchmarks.models import Release
from leaderboard.methods.models import Submission
from leaderboard.runs import services as run_services
from leaderboard.runs.models import Run


def runs_enqueue(submission: Submission) -> None:
    """The runs of an accepted submission. A hidden run waits for the try-out on the public sibling, if there is one."""
    for release in submission.releases.all():
        first: Run | None = None
        sibling = Release.objects.filter(slug=release.public_sibling_slug).first() if release.is_hidden else None
        if submission.tryout and sibling is not None:
            first = run_services.run_enqueue(
                submission=submission,
                release=sibling,
                seed=submission.seeds[0],
                priority=run_services.PRIORITY_TRYOUT,
                actor="inspection",
            )
        for seed in submission.seeds:
            run_services.run_enqueue(
                submission=submission, release=release, seed=seed, waits_for=first, actor="inspection"
            )
