"""Messages to the task queue, sent after the commit. One that gets lost costs time only: the reaper sends another.

The tasks themselves are in `worker.tasks`, above every room that asks for one.
"""

from __future__ import annotations

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = structlog.get_logger(__name__)

REAP = "leaderboard.worker.tasks.reap"
RUN_NEXT = "leaderboard.worker.tasks.run_next"
SUBMISSION_INSPECT = "leaderboard.worker.tasks.submission_inspect"
UPLOAD_FINISH = "leaderboard.worker.tasks.upload_finish"
BOARD_PUBLISH = "leaderboard.worker.tasks.board_publish"


def task_send(task: str, ident: str) -> None:
    """Send `task` the id of a row, once the current transaction is committed."""
    transaction.on_commit(lambda: _send(task, ident))


def _send(task: str, ident: str) -> None:
    try:
        current_app.send_task(task, args=[ident], ignore_result=True, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("message lost; the reaper will send another", task=task, ident=ident, error=str(error))
