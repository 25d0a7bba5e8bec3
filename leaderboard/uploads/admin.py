"""Organisers' view of uploads: whose they are, how large, how long they stay."""

from __future__ import annotations

from django.contrib import admin

from leaderboard.core.admin import ReadOnlyAdmin
from leaderboard.uploads.models import Upload


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    list_display = ("id", "owner", "filename", "size", "state", "created_at", "expires_at")
    list_filter = ("state",)
    search_fields = ("id", "filename", "sha256", "owner__username")
    list_select_related = ("owner",)
