"""Rings the task queue after the commit. A ring that gets lost costs time only: the reaper rings again."""

from __future__ import annotations

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = structlog.get_logger(__name__)

RUN_NEXT = "leaderboard.runs.tasks.run_next"
SUBMISSION_INSPECT = "leaderboard.methods.tasks.submission_inspect"
UPLOAD_FINISH = "leaderboard.uploads.tasks.upload_finish"
BOARD_PUBLISH = "leaderboard.boards.tasks.board_publish"


def doorbell_ring(task: str, ident: str) -> None:
    """Send `task` the id of a row, once the current transaction is committed."""
    transaction.on_commit(lambda: _send(task, ident))


def _send(task: str, ident: str) -> None:
    try:
        current_app.send_task(task, args=[ident], ignore_result=True, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("doorbell lost; the reaper will ring again", task=task, ident=ident, error=str(error))
