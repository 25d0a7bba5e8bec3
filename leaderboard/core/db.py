"""A database that is away for a while: renew what broke, wait, try again."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connections

logger = structlog.get_logger(__name__)

T = TypeVar("T")

#: What Django raises when the database, not the query, is at fault: no server, a cut connection, a locked or full file.
DATABASE_AWAY = (OperationalError, InterfaceError)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


def connections_renew() -> None:
    """Drop connections that are too old or broken, as Django does between requests; never inside a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def database_retry(call: Callable[[], T], *, patience_s: float, stop: threading.Event | None = None) -> T:
    """What `call` returns, called again while the database is away, for `patience_s` seconds or until `stop`.

    `call` is one transaction that may be done twice: when a connection breaks during the commit, nobody can tell
    whether it was done. Raises the last error of the database when patience ends; every other error at once.
    """
    gives_up, pause = time.monotonic() + patience_s, _FIRST_PAUSE_S
    while True:
        try:
            return call()
        except DATABASE_AWAY as error:
            connections_renew()
            left = gives_up - time.monotonic()
            if left <= 0 or (stop is not None and stop.is_set()):
                raise
            logger.warning("database away; trying again", error=str(error).strip(), patience_s=round(left))
            nap = min(pause * random.uniform(0.5, 1.0), left)  # nosec B311 # so that not all come back at once
            time.sleep(nap) if stop is None else stop.wait(nap)
            pause = min(2 * pause, _LONGEST_PAUSE_S)


@contextmanager
def database_or_later(task: str) -> Iterator[None]:
    """For tasks that are done again anyhow: a database that is away ends one with a line in the log, no more."""
    connections_renew()
    try:
        yield
    except DATABASE_AWAY as error:
        logger.warning("database away; done later", task=task, error=str(error).strip())
        connections_renew()
