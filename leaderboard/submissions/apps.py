"""The `submissions` app: its rows are `methods.Submission`, its admin page is here."""

from django.apps import AppConfig


class SubmissionsConfig(AppConfig):
    name = "leaderboard.submissions"
    label = "submissions"
