"""The `worker` app: its tasks are found by being in it."""

from django.apps import AppConfig


class WorkerConfig(AppConfig):
    name = "leaderboard.worker"
    label = "worker"
