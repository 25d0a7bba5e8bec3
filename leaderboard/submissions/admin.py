"""Organisers' view of submissions: records; they can be withdrawn."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from leaderboard.core.admin import ReadOnlyAdmin
from leaderboard.core.problems import Refused
from leaderboard.methods.models import Submission
from leaderboard.submissions.withdraw import submission_withdraw


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
