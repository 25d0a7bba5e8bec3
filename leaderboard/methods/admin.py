"""Organisers' view of methods (editable, with history) and submissions (records; they can be withdrawn)."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from simple_history.admin import SimpleHistoryAdmin

from leaderboard.core.admin import ReadOnlyAdmin
from leaderboard.core.problems import Refused
from leaderboard.methods.models import Method, Submission
from leaderboard.methods.services import submission_withdraw


@admin.register(Method)
class MethodAdmin(SimpleHistoryAdmin):
    list_display = ("name", "slug", "kind", "owner", "created_at")
    list_filter = ("kind",)
    search_fields = ("name", "slug", "owner__username")
    list_select_related = ("owner",)
    raw_id_fields = ("owner",)


@admin.register(Submission)
class SubmissionAdmin(ReadOnlyAdmin):
    list_display = ("id", "method", "version", "division", "state", "submitter", "created_at")
    list_filter = ("state", "division")
    search_fields = ("id", "method__name", "image", "submitter__username")
    list_select_related = ("method", "submitter")
    actions = ("withdraw",)

    @admin.action(description="Withdraw")
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Submission]) -> None:
        for submission in queryset:
            try:
                submission_withdraw(submission=submission, user=request.user)  # type: ignore[arg-type]
                self.message_user(request, f"{submission.id}: withdrawn", messages.SUCCESS)
            except Refused as error:
                self.message_user(request, str(error), messages.ERROR)
