"""`/healthz`: the process answers. `/readyz`: database, broker and worker are there too."""

from __future__ import annotations

from pathlib import Path

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from leaderboard.runs.models import Worker


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ok": True})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when pages, queue and workers all work; 503 with the part that does not."""
    parts = {"database": _database(), "broker": _broker(), "worker": _worker()}
    ok = all(part["ok"] for part in parts.values())
    return JsonResponse({"ok": ok, **parts}, status=200 if ok else 503)


def _database() -> dict[str, object]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return {"ok": False, "problem": type(error).__name__}
    return {"ok": True}


def _broker() -> dict[str, object]:
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    if settings.CELERY_BROKER_URL.startswith("filesystem"):
        folder = Path(options["data_folder_out"])
        return {"ok": folder.is_dir(), "waiting": sum(1 for _ in folder.glob("*.msg")) if folder.is_dir() else 0}
    try:
        with current_app.connection_for_write(connect_timeout=2) as link:
            link.ensure_connection(max_retries=1, timeout=2)
    except Exception as error:  # noqa: BLE001
        return {"ok": False, "problem": type(error).__name__}
    return {"ok": True}


def _worker() -> dict[str, object]:
    try:
        newest = Worker.objects.first()
    except DatabaseError as error:
        return {"ok": False, "problem": type(error).__name__}
    if newest is None:
        return {"ok": False, "problem": "no worker was ever heard of"}
    age_s = (timezone.now() - newest.seen_at).total_seconds()
    return {"ok": abs(age_s) < settings.WORKER_SILENT_S, "age_s": round(age_s, 1)}
