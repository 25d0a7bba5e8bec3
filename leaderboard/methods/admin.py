"""Organisers' view of methods: editable, with history."""

from __future__ import annotations

from django.contrib import admin
from simple_history.admin import SimpleHistoryAdmin

from leaderboard.methods.models import Method


@admin.register(Method)
class MethodAdmin(SimpleHistoryAdmin):
    list_display = ("name", "slug", "kind", "owner", "created_at")
    list_filter = ("kind",)
    search_fields = ("name", "slug", "owner__username")
    list_select_related = ("owner",)
    raw_id_fields = ("owner",)
