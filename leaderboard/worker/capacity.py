"""How many runs one host does at a time: a lock file a slot, given back by the kernel when its holder dies."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from django.conf import settings

logger = structlog.get_logger(__name__)


@contextmanager
def slot_take() -> Iterator[bool]:
    """Hold a slot for as long as the context; yields False when every slot of this host is taken.

    A file lock and not a semaphore: it counts over threads and processes alike, and `kill -9` frees it.
    """
    folder = Path(settings.PALIMPSEST_HOME) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(settings.RUNS_PER_HOST):
        descriptor = os.open(folder / f"run-slot-{socket.gethostname()}-{number}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        try:
            yield True
        finally:
            os.close(descriptor)
        return
    yield False


def room_left() -> bool:
    """Whether the data folder has room for a run: on a full disk every run would fail, three times each."""
    free_mb = shutil.disk_usage(settings.PALIMPSEST_HOME).free / 1e6
    if free_mb >= settings.DISK_FREE_MIN_MB:
        return True
    logger.error("disk full; no run taken", free_mb=round(free_mb), needed_mb=settings.DISK_FREE_MIN_MB)
    return False
