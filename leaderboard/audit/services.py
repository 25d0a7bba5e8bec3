"""Writes of the audit log. An act and its entry are one transaction: neither is there without the other.

The chain has one end, so transactions that write to it go one after the other. Whoever changes other rows too opens
the transaction with `audited()`, which waits for its turn *before* it touches a row: so no two can wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from django.db import connection, models, transaction
from django.utils import timezone

from leaderboard.accounts.viewers import Viewer
from leaderboard.audit.models import START, AuditEntry

#: PostgreSQL's advisory lock of the chain's end: any number that nobody else here uses.
_CHAIN_LOCK = 7_256_354
_VALUE_CHARS = 300


@contextmanager
def audited() -> Iterator[None]:
    """A transaction (or a savepoint of one) in which acts are recorded."""
    with transaction.atomic():
        _turn_wait()
        yield


def actor_of(viewer: Viewer) -> str:
    """How the log names a person."""
    return f"user:{viewer.get_username()}" if viewer.is_authenticated else "anonymous"


def audit_record(
    *,
    actor: str,
    action: str,
    target: models.Model | tuple[str, str],
    reason: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Add one entry to the end of the chain. `target` is a row, or the type and id of what has none.

    Request id and client come from the request that is being answered, if there is one.
    """
    object_type, object_id = target if isinstance(target, tuple) else (_type_of(target), str(target.pk))
    context = structlog.contextvars.get_contextvars()
    with transaction.atomic():
        _turn_wait()
        newest = AuditEntry.objects.order_by("-id").values_list("sha256", flat=True).first()
        entry = AuditEntry(
            at=timezone.now(),
            actor=_text(actor, 150),
            action=action,
            object_type=object_type[:60],
            object_id=_text(object_id, 120),
            reason=_text(reason, 300),
            before=_plain(before),
            after=_plain(after),
            request_id=str(context.get("request_id", ""))[:32],
            client=str(context.get("client", ""))[:32],
            previous_sha256=newest or START,
        )
        entry.sha256 = entry.digest()
        entry.save()
    return entry


def _turn_wait() -> None:
    """SQLite has one writer at a time anyway: its transactions here begin IMMEDIATE."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CHAIN_LOCK])


def _type_of(row: models.Model) -> str:
    return str(row._meta.model_name)  # noqa: SLF001


def _text(value: object, size: int) -> str:
    # Neither a NUL nor half a character can be stored by every database, and both would change the hash.
    return str(value).replace("\x00", "").encode("utf-8", "replace").decode()[:size]


def _plain(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values that every database gives back exactly as they went in: no floats, no objects."""
    return {
        str(name): value if value is None or isinstance(value, bool | int) else _text(value, _VALUE_CHARS)
        for name, value in (values or {}).items()
    }
