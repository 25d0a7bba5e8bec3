"""The doorbell's other end for boards."""

from __future__ import annotations

from leaderboard.boards import services
from leaderboard.config.celery import app


@app.task(name="leaderboard.boards.tasks.board_publish")
def board_publish(release_slug: str) -> None:
    services.board_publish(release_slug=release_slug)
