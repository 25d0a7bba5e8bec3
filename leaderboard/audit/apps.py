"""The `audit` app, and the organisers' admin site that records what is done in it."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class AuditConfig(AppConfig):
    name = "leaderboard.audit"
    label = "audit"

    def ready(self) -> None:
        from leaderboard.audit import signals  # noqa: F401, PLC0415 - connects them; Django: apps are loaded now


class OrganisersAdminConfig(admin_apps.AdminConfig):
    default = False  # of this module; settings name it
    default_site = "leaderboard.audit.site.OrganisersSite"
