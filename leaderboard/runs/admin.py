"""Organisers' view of runs: read, cancel, retry, publish. Nothing here edits a result."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from leaderboard.core.admin import ReadOnlyAdmin, ReadOnlyInline
from leaderboard.core.problems import Refused
from leaderboard.runs import services
from leaderboard.runs.models import Run, RunEvent, Score, Worker


class RunEventInline(ReadOnlyInline):
    model = RunEvent


class ScoreInline(ReadOnlyInline):
    model = Score


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "submission",
        "release",
        "seed",
        "state",
        "attempt",
        "failure_code",
        "queued_at",
        "finished_at",
    )
    list_filter = ("state", "failure_code", "release")
    search_fields = ("id", "submission__id", "submission__method__name")
    list_select_related = ("submission__method", "release")
    inlines = (RunEventInline, ScoreInline)
    actions = ("cancel", "retry")
    exclude = ("detail", "log_tail")  # on the run's own page, where a look at a hidden run is recorded

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, services.run_cancel, "cancelled")

    @admin.action(description="Retry a platform failure or a time-out")
    def retry(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, services.run_retry, "back in the queue")

    def _each(self, request: HttpRequest, queryset: QuerySet[Run], action: Any, done: str) -> None:
        for run in queryset.select_related("submission", "release"):
            try:
                action(run=run, user=request.user)
                self.message_user(request, f"{run.id}: {done}", messages.SUCCESS)
            except Refused as error:
                self.message_user(request, str(error), messages.ERROR)


@admin.register(RunEvent)
class RunEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "run", "from_state", "to_state", "actor", "note")
    search_fields = ("run__id",)
    list_filter = ("to_state",)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "host", "started_at", "seen_at")
