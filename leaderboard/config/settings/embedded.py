"""One machine, one command, no services: SQLite, a filesystem broker and local files under PALIMPSEST_HOME."""

from __future__ import annotations

from leaderboard.config.settings.base import *  # noqa: F403
from leaderboard.config.settings.base import PALIMPSEST_HOME, env
from leaderboard.core.home import broker_folders_make, secret_key_load, sqlite_config

SECRET_KEY = env.str("SECRET_KEY", default="") or secret_key_load(PALIMPSEST_HOME)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

DATABASES = {"default": sqlite_config(PALIMPSEST_HOME / "db.sqlite3", busy_s=env.float("SQLITE_BUSY_S", default=20))}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(PALIMPSEST_HOME / "media")},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True  # no collectstatic needed

CELERY_BROKER_URL = "filesystem://"
CELERY_BROKER_TRANSPORT_OPTIONS = broker_folders_make(PALIMPSEST_HOME / "broker")
CELERY_BEAT_SCHEDULE_FILENAME = str(PALIMPSEST_HOME / "broker" / "beat-schedule")
