"""Admin pages of records: organisers read them, nobody edits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

if TYPE_CHECKING:
    _Page = admin.ModelAdmin[Any]
    _Inline = admin.TabularInline[Any, Any]
else:  # Django's own classes take no type arguments
    _Page, _Inline = admin.ModelAdmin, admin.TabularInline


class _ReadOnly:
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(_ReadOnly, _Page):
    """A list and a detail page without a form."""


class ReadOnlyInline(_ReadOnly, _Inline):
    """Rows below their parent, without a form."""

    extra = 0
    can_delete = False
