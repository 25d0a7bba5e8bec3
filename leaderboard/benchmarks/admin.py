"""Organisers' view of releases: publish a board. What the card says is not edited by hand, nor is a release retired by
hand: `manage.py release_rotate` retires, opens and replaces it in one act.
"""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from simple_history.admin import SimpleHistoryAdmin

from leaderboard.audit.services import actor_of, audit_record
from leaderboard.benchmarks.models import Release
from leaderboard.core.task_messages import BOARD_PUBLISH, task_send


@admin.register(Release)
class ReleaseAdmin(SimpleHistoryAdmin):
    list_display = ("slug", "benchmark", "split", "size", "version", "state")
    list_filter = ("state", "split", "benchmark")
    search_fields = ("slug", "title")
    actions = ("publish",)

    def get_readonly_fields(self, request: HttpRequest, obj: Release | None = None) -> list[str]:
        return [field.name for field in Release._meta.fields]  # noqa: SLF001

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Release | None = None) -> bool:
        return False

    @admin.action(description="Publish the board")
    def publish(self, request: HttpRequest, queryset: QuerySet[Release]) -> None:
        for release in queryset:
            audit_record(actor=actor_of(request.user), action="board.publish", target=release)
            task_send(BOARD_PUBLISH, release.slug)
        self.message_user(request, f"{queryset.count()} boards will be published by a worker", messages.SUCCESS)
