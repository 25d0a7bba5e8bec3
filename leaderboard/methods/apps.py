"""The `methods` app."""

from django.apps import AppConfig


class MethodsConfig(AppConfig):
    name = "leaderboard.methods"
    label = "methods"
