"""The `traces` app."""

from django.apps import AppConfig


class TracesConfig(AppConfig):
    name = "leaderboard.traces"
    label = "traces"
