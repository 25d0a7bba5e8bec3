"""The doorbell's other end for submissions."""

from __future__ import annotations

from leaderboard.config.celery import app
from leaderboard.core.db import database_or_later
from leaderboard.methods import services


@app.task(name="leaderboard.methods.tasks.submission_inspect")
def submission_inspect(submission_id: str) -> None:
    with database_or_later("submission_inspect"):
        services.submission_inspect(submission_id=submission_id)
