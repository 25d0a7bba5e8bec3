"""Organisers' view of board snapshots: read-only."""

from __future__ import annotations

from django.contrib import admin

from leaderboard.boards.models import BoardSnapshot
from leaderboard.core.admin import ReadOnlyAdmin


@admin.register(BoardSnapshot)
class BoardSnapshotAdmin(ReadOnlyAdmin):
    list_display = ("release", "evaluator", "revision", "created_at")
    list_filter = ("release", "evaluator")
    list_select_related = ("release",)
