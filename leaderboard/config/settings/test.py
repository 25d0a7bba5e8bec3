"""Tests: as embedded, on a data folder of their own; PALIMPSEST_HOME comes from the environment when a test sets it."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("PALIMPSEST_HOME", tempfile.mkdtemp(prefix="palimpsest-test-"))

from leaderboard.config.settings.embedded import *  # noqa: F403
from leaderboard.config.settings.embedded import DATABASES, PALIMPSEST_HOME, REST_FRAMEWORK, env

ALLOWED_HOSTS = ["*"]
# A real file, not memory: other processes and threads of a test must see the same rows, in WAL mode.
DATABASES["default"]["TEST"] = {"NAME": str(PALIMPSEST_HOME / "test.sqlite3")}
if env.str("TEST_DATABASE_URL", default=""):  # another database, to see that it keeps the same promises
    DATABASES["default"] = env.db_url("TEST_DATABASE_URL")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, and only here
REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = dict.fromkeys(("anon", "user", "login", "submit", "upload"), "100000/min")
ACCOUNT_RATE_LIMITS = False
BOARD_RESAMPLES = 200
