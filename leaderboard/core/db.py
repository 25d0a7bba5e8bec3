"""Database connections of long-lived threads."""

from __future__ import annotations

from django.db import connections


def connections_renew() -> None:
    """Drop connections that are too old or broken, as Django does between requests; never inside a transaction."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
