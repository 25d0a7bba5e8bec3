"""The doorbell's other end for boards."""

from __future__ import annotations

from leaderboard.boards import services
from leaderboard.config.celery import app
from leaderboard.core.db import database_or_later


@app.task(name="leaderboard.boards.tasks.board_publish")
def board_publish(release_slug: str) -> None:
    with database_or_later("board_publish"):
        services.board_publish(release_slug=release_slug)
