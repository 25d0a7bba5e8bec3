"""What the task queue's messages start: each carries an id at most, the database row says what is to be done."""

from __future__ import annotations

import threading
from typing import Any

import structlog
from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down

from leaderboard.benchmarks.models import Release, ReleaseState, Split
from leaderboard.boards.services import board_publish as publish
from leaderboard.boards.services import boards_refresh
from leaderboard.core.db import database_or_later
from leaderboard.core.task_messages import (
    BOARD_PUBLISH,
    REAP,
    RUN_NEXT,
    SUBMISSION_INSPECT,
    UPLOAD_FINISH,
)
from leaderboard.submissions.inspect import submission_inspect as inspect
from leaderboard.traces.reissue import ReissueFailed, release_open, traces_withhold
from leaderboard.uploads.services import upload_finish as finish
from leaderboard.worker import execute, heartbeat, reaper

logger = structlog.get_logger(__name__)


@shared_task(name=RUN_NEXT)
def run_next(run_id: str) -> None:
    """Something waits: work until the queue is empty. Which run goes first is the queue's matter, not the message's."""
    execute.work_until_empty()


@shared_task(name=SUBMISSION_INSPECT)
def submission_inspect(submission_id: str) -> None:
    with database_or_later("submission_inspect"):
        inspect(submission_id=submission_id)


@shared_task(name=UPLOAD_FINISH)
def upload_finish(upload_id: str) -> None:
    """A file of gigabytes is hashed here and not in a request."""
    finish(upload_id=upload_id)


@shared_task(name=BOARD_PUBLISH)
def board_publish(release_slug: str) -> None:
    with database_or_later("board_publish"):
        publish(release_slug=release_slug)


@shared_task(name=REAP)
def reap() -> None:
    """Every 10 seconds by beat."""
    with database_or_later("reap"):
        reaper.reap()
        boards_refresh()


@worker_ready.connect
def _on_ready(**_: Any) -> None:
    """A worker that comes back after a crash takes up its runs at once, not after the lease."""
    threading.Thread(target=heartbeat.worker_heartbeat, name="heartbeat", daemon=True).start()
    threading.Thread(target=execute.backend_check, name="backend", daemon=True).start()
    threading.Thread(target=_traces_settle, name="traces", daemon=True).start()
    reap.delay()


def _traces_settle() -> None:
    """Hidden runs that an older evaluator scored show nothing until they are sealed as the rules are now; those of
    releases that have retired meanwhile are opened.
    """
    try:
        with database_or_later("traces_settle"):
            traces_withhold(actor="worker")
            for release in Release.objects.filter(split=Split.HIDDEN, state=ReleaseState.RETIRED):
                release_open(release=release, actor="worker")
    except (ReissueFailed, OSError):
        logger.exception("traces are not settled; `manage.py traces_withhold` says why")


@worker_shutting_down.connect
def _on_shutdown(**_: Any) -> None:
    execute.stopping.set()
