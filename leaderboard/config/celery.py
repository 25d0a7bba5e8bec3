"""The task queue: a doorbell. Messages carry at most an id; the database row is the queue of record.

Embedded start (worker and beat in one process; SQLite and a filesystem broker under PALIMPSEST_HOME):

    celery -A leaderboard.config worker -P threads -B -c 2 --without-gossip --without-mingle
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leaderboard.config.settings.embedded")

app = Celery("palimpsest")
# Without the namespace Celery would silently ignore every CELERY_* setting.
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
