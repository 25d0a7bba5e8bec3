"""The task queue: messages wake a worker. They carry at most an id; the database row is the queue of record.

Embedded start (worker and beat in one process; SQLite and a filesystem broker under PALIMPSEST_HOME):

    celery -A leaderboard.config worker -P threads -B -c 2 --without-gossip --without-mingle
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from celery import Celery
from celery.signals import beat_embedded_init

from leaderboard.config.broker import broker_register

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.config.settings.embedded")

broker_register()
app = Celery("palimpsest")
# Without the namespace Celery would silently ignore every CELERY_* setting.
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_PR_SET_PDEATHSIG = 1
_LOADED_BY = os.getpid()


@beat_embedded_init.connect
def beat_ends_with_its_worker(**_: object) -> None:
    """The embedded beat is a child process: without this it would go on sending after a `kill -9` of its worker."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != _LOADED_BY:  # the worker died before the kernel was asked
            os._exit(0)
