"""A worker's own clock: says that it lives, looks after the queue, and works on when no message comes any more.

The broker wakes it sooner; this is for when it is away or a worker has gone deaf to it, when beat is not there, and
when the wall clock was set back under both.
"""

from __future__ import annotations

import socket
import threading
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models import Q, QuerySet
from django.utils import timezone

from leaderboard.boards.services import boards_refresh
from leaderboard.core.db import connections_renew
from leaderboard.methods.models import Submission, SubmissionState
from leaderboard.runs.models import Worker
from leaderboard.runs.selectors import run_claimable
from leaderboard.submissions.inspect import submission_inspect
from leaderboard.worker import reaper
from leaderboard.worker.execute import stopping, work_until_empty, worker_name

logger = structlog.get_logger(__name__)

#: Beat wakes the reaper every 10 seconds; the heartbeat has it look at every third beat of its own.
_REAP_EVERY = 3
#: Something that waits for so many times `RUN_NOTIFY_AFTER_S` had a message sent, and nobody heard.
_PAUSES_UNHEARD = 2


def worker_heartbeat() -> None:
    """Beat until the process stops: `/readyz` looks at the row, the reaper and `work_unnotified` look at the queue."""
    started, count = timezone.now(), 0
    helper: threading.Thread | None = None
    while not stopping.is_set():
        try:
            connections_renew()
            fields = {"host": socket.gethostname(), "started_at": started, "seen_at": timezone.now()}
            Worker.objects.update_or_create(name=worker_name(), defaults=fields)
            if count % _REAP_EVERY == _REAP_EVERY - 1:
                reaper.reap()
            if (helper is None or not helper.is_alive()) and waits_unheard():
                # Not a daemon: it hands its run back.
                helper = threading.Thread(target=work_unnotified, name="unnotified")
                helper.start()
        except (DatabaseError, OSError) as error:  # never the end of this thread
            logger.warning("database away; the heartbeat goes on", error=str(error).strip())
        except Exception:
            logger.exception("the heartbeat goes on")
        count += 1
        stopping.wait(settings.WORKER_SILENT_S / 6)


def waits_unheard() -> bool:
    """Whether a submission or a run waits for longer than a message takes."""
    if run_claimable().filter(_long_ago("queued_at")).exists():
        return True
    return _uninspected().exists()


def work_unnotified() -> None:
    """What a message would have had done: inspect, work until the queue is empty or no slot is free, publish."""
    logger.info("no message came; working all the same")
    try:
        for ident in list(_uninspected().values_list("id", flat=True)):
            submission_inspect(submission_id=ident)
        work_until_empty()
        boards_refresh()
    except DatabaseError as error:
        logger.warning("database away; done later", error=str(error).strip())
    except Exception:
        logger.exception("work without a message failed")
    finally:
        connections.close_all()


def _uninspected() -> QuerySet[Submission]:
    return Submission.objects.filter(_long_ago("created_at"), state=SubmissionState.SUBMITTED)


def _long_ago(field: str) -> Q:
    """Long ago, or so far ahead that a clock was set back since."""
    now, span = timezone.now(), timedelta(seconds=_PAUSES_UNHEARD * settings.RUN_NOTIFY_AFTER_S)
    return ~Q(**{f"{field}__range": (now - span, now + span)})
