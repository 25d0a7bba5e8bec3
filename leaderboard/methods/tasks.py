"""The doorbell's other end for submissions."""

from __future__ import annotations

from leaderboard.config.celery import app
from leaderboard.methods import services


@app.task(name="leaderboard.methods.tasks.submission_inspect")
def submission_inspect(submission_id: str) -> None:
    services.submission_inspect(submission_id=submission_id)
