"""A worker's own clock: it says that it lives, and has the reaper look, whatever broker, beat and wall clock do."""

from __future__ import annotations

import socket

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from leaderboard.core.db import connections_renew
from leaderboard.runs import reaper
from leaderboard.runs.models import Worker
from leaderboard.runs.worker import stopping, worker_name

logger = structlog.get_logger(__name__)

#: The beat rings the reaper every 10 s; this is for when it does not: its clock was set back, or its broker is away.
_REAP_EVERY = 3


def worker_pulse() -> None:
    """Say "I am here", which `/readyz` looks at, and look after the queue, until the process stops."""
    started, count = timezone.now(), 0
    while not stopping.is_set():
        try:
            connections_renew()
            fields = {"host": socket.gethostname(), "started_at": started, "seen_at": timezone.now()}
            Worker.objects.update_or_create(name=worker_name(), defaults=fields)
            if count % _REAP_EVERY == _REAP_EVERY - 1:
                reaper.reap()
        except (DatabaseError, OSError) as error:  # never the end of this thread
            logger.warning("database away; the pulse goes on", error=str(error).strip())
        except Exception:
            logger.exception("the pulse goes on")
        count += 1
        stopping.wait(settings.WORKER_SILENT_S / 6)
