"""How the site is put together: settings, addresses, the task queue, the WSGI entry."""

from leaderboard.config.celery import app as celery_app

__all__ = ["celery_app"]
