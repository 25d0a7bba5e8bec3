"""The `uploads` app."""

from django.apps import AppConfig


class UploadsConfig(AppConfig):
    name = "leaderboard.uploads"
    label = "uploads"
