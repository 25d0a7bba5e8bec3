"""The `pages` app: templates' tags, and the admin pages that combine several apps."""

from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "leaderboard.pages"
    label = "pages"
