"""Locks between the processes of one host: files, which the kernel frees when their holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings


@contextmanager
def lock_hold(name: str) -> Iterator[None]:
    """Hold the lock `name` of this host, waiting for it."""
    folder = Path(settings.PALIMPSEST_HOME) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
