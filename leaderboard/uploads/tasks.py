"""The doorbell's other end for uploads: a file of gigabytes is hashed here and not in a request."""

from __future__ import annotations

from leaderboard.config.celery import app
from leaderboard.uploads import services


@app.task(name="leaderboard.uploads.tasks.upload_finish")
def upload_finish(upload_id: str) -> None:
    services.upload_finish(upload_id=upload_id)
