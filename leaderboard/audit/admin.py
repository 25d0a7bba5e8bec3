"""Organisers' view of the audit log: filter, search, and CSV of what is filtered."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path
from django.urls.resolvers import URLPattern

from leaderboard.audit.models import AuditEntry
from leaderboard.audit.services import actor_of, audit_record
from leaderboard.core.admin import ReadOnlyAdmin
from leaderboard.core.spreadsheets import formula_neutralise

_COLUMNS = (
    "id at actor action object_type object_id reason before after request_id client previous_sha256 sha256".split()
)


class ActorKindFilter(admin.SimpleListFilter):
    """People, workers, or what the site does by itself."""

    title = "who"
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("user:", "People"), ("worker:", "Workers"), ("command:", "Commands"), ("anonymous", "Not signed in")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(actor__startswith=asked) if (asked := self.value()) else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "action", "object_type", "object_id", "reason", "request_id")
    list_filter = ("at", ActorKindFilter, "action", "object_type")
    search_fields = ("actor", "object_id", "reason", "request_id", "sha256")
    ordering = ("-id",)
    list_per_page = 100
    show_full_result_count = False
    change_list_template = "audit/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        own = path("csv/", self.admin_site.admin_view(self.as_csv), name="audit_auditentry_csv")
        return [own, *super().get_urls()]

    def as_csv(self, request: HttpRequest) -> StreamingHttpResponse:
        """Every entry that the list's present filter shows, oldest first. The download itself is an entry."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        filtered = self.get_changelist_instance(request).get_queryset(request).order_by("id")
        query = request.META.get("QUERY_STRING", "")
        audit_record(
            actor=actor_of(request.user), action="audit.export", target=("auditentry", ""), after={"filter": query}
        )
        response = StreamingHttpResponse(_lines(filtered), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="audit.csv"'
        return response


def _lines(entries: QuerySet[AuditEntry]) -> Iterator[str]:
    """CSV line by line, in constant memory."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(_COLUMNS)
    for entry in entries.iterator(chunk_size=2000):
        writer.writerow([formula_neutralise(_cell(getattr(entry, name))) for name in _COLUMNS])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False) if isinstance(value, dict) else str(value)
