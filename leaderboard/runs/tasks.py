"""The doorbell's other end: tasks carry an id, the database row says what is to be done."""

from __future__ import annotations

import threading
from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from leaderboard.config.celery import app
from leaderboard.core.db import database_or_later
from leaderboard.runs import pulse, reaper, worker


@app.task(name="leaderboard.runs.tasks.run_next")
def run_next(run_id: str) -> None:
    """Something waits: work until the queue is empty. Which run goes first is the queue's matter, not the message's."""
    worker.work_until_empty()


@app.task(name="leaderboard.runs.tasks.reap")
def reap() -> None:
    """Every 10 seconds by beat."""
    from leaderboard.boards.services import boards_refresh

    with database_or_later("reap"):
        reaper.reap()
        boards_refresh()


@worker_ready.connect
def _on_ready(**_: Any) -> None:
    """A worker that comes back after a crash takes up its runs at once, not after the lease."""
    threading.Thread(target=pulse.worker_pulse, name="pulse", daemon=True).start()
    threading.Thread(target=worker.backend_check, name="backend", daemon=True).start()
    reap.delay()


@worker_shutting_down.connect
def _on_shutdown(**_: Any) -> None:
    worker.stopping.set()
