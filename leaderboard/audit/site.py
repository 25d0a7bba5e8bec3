"""The organisers' admin site: every change that is made in it is recorded, with what was there before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import Any, cast

import structlog
from django.contrib.admin import AdminSite, ModelAdmin
from django.db.models import Model, QuerySet
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponseBase

from leaderboard.audit.services import actor_of, audit_record, audited

_WITHHELD = ("password", "secret", "token", "key", "digest")
_CHANGE = "_audited_change"


class OrganisersSite(AdminSite):
    """Django's own, where a POST is a transaction of the audit log and every page is an `AuditedPage`."""

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        page: type[ModelAdmin[Any]] = admin_class or ModelAdmin
        super().register(model_or_iterable, type(page.__name__, (AuditedPage, page), {}), **options)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        inner = cast(Callable[..., HttpResponseBase], super().admin_view(view, cacheable))

        def recorded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            with structlog.contextvars.bound_contextvars(actor=actor_of(request.user)):
                if request.method != "POST":
                    return inner(request, *args, **kwargs)
                with audited():
                    return inner(request, *args, **kwargs)

        return update_wrapper(recorded, view)


class AuditedPage:
    """Goes before a `ModelAdmin`: what it logs for Django's own list is an entry of the audit log too."""

    def construct_change_message(
        self, request: HttpRequest, form: BaseForm, formsets: Any, add: bool = False
    ) -> list[dict[str, Any]]:
        setattr(request, _CHANGE, _change(form))
        return super().construct_change_message(request, form, formsets, add)  # type: ignore[misc, no-any-return]

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        _record(request, obj, "add")
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        _record(request, obj, "change")
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Model]) -> Any:
        for obj in queryset:
            _record(request, obj, "delete")
        return super().log_deletions(request, queryset)  # type: ignore[misc]


def _record(request: HttpRequest, row: Model, what: str) -> None:
    before, after = getattr(request, _CHANGE, ({}, {}))
    if what == "delete":
        before = {"name": str(row)}
    action = f"{row._meta.model_name}.{what}"  # noqa: SLF001
    audit_record(actor=actor_of(request.user), action=action, target=row, before=before, after=after)


def _change(form: BaseForm) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the changed fields of a form held, and what they hold now; of a secret only that it changed."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name in form.changed_data:
        secret = any(word in name.lower() for word in _WITHHELD)
        before[name] = "…" if secret else _shown(form.get_initial_for_field(form.fields[name], name))
        after[name] = "… (changed)" if secret else _shown(form.cleaned_data.get(name))
    return before, after


def _shown(value: Any) -> Any:
    if isinstance(value, QuerySet | list | tuple | set):
        return ", ".join(sorted(str(item) for item in value))
    return value
