"""Admin pages of records: organisers read them, nobody edits them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest


class _ReadOnly:
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False


class ReadOnlyAdmin(_ReadOnly, admin.ModelAdmin[Any]):
    """A list and a detail page without a form."""


class ReadOnlyInline(_ReadOnly, admin.TabularInline[Any, Any]):
    """Rows below their parent, without a form."""

    extra = 0
    can_delete = False
