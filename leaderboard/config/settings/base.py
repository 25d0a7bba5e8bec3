"""Settings that every way of running the site shares. Nothing here reads a secret or makes a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import environ  # type: ignore[import-untyped]
from csp.constants import NONCE, NONE, SELF

from evaluator.contract import data_folder
from leaderboard.core.logs import logging_config

env = environ.Env()

REPO = Path(__file__).resolve().parents[3]
#: The data folder: models, releases, cards, runs and, in embedded mode, the database, media and broker.
PALIMPSEST_HOME = data_folder()

DEBUG = env.bool("DEBUG", default=False)
ROOT_URLCONF = "leaderboard.config.urls"
WSGI_APPLICATION = "leaderboard.config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"

INSTALLED_APPS = [
    "leaderboard.audit.apps.OrganisersAdminConfig",  # django.contrib.admin, with a site of our own
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "csp",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "rest_framework",
    "simple_history",
    "leaderboard.core",
    "leaderboard.audit",
    "leaderboard.accounts",
    "leaderboard.benchmarks",
    "leaderboard.methods",
    "leaderboard.uploads",
    "leaderboard.runs",
    "leaderboard.boards",
    "leaderboard.traces",
    "leaderboard.submissions",
    "leaderboard.worker",
    "leaderboard.pages",
    "leaderboard.api",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "leaderboard.core.middleware.ProblemsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "leaderboard.core.middleware.SlashMiddleware",  # Django's common one, which keeps what was posted
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "leaderboard.core.middleware.RequestLogMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [REPO / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ],
        },
    },
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATICFILES_DIRS = [REPO / "leaderboard" / "static"]
STATIC_ROOT: Path | None = Path(env.str("STATIC_ROOT", default=str(REPO / "staticfiles")))
MEDIA_ROOT = PALIMPSEST_HOME / "media"

# --- people ----------------------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Palimpsest] "
ACCOUNT_LOGOUT_ON_GET = False
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# --- browser safety --------------------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

# --- API -------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "leaderboard.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticatedOrReadOnly"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["leaderboard.api.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "leaderboard.api.pagination.Pages",
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "rest_framework.throttling.UserRateThrottle",
        "rest_framework.throttling.ScopedRateThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {
        "anon": env.str("THROTTLE_ANON", default="240/min"),
        "user": env.str("THROTTLE_USER", default="600/min"),
        "login": env.str("THROTTLE_LOGIN", default="20/min"),
        "submit": env.str("THROTTLE_SUBMIT", default="60/min"),
        "upload": env.str("THROTTLE_UPLOAD", default="1200/min"),
    },
    "EXCEPTION_HANDLER": "leaderboard.api.errors.problems_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {
    "TOKEN_TTL": None,  # until their owner deletes them; they are in the owner's list  # nosec B105
    "TOKEN_LIMIT_PER_USER": 20,  # nosec B105 # a number
    "AUTH_HEADER_PREFIX": "Token",
}
SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.0",  # what the schemas of pydantic models are written in
    "TITLE": "Palimpsest API",
    "DESCRIPTION": "Boards, methods, submissions and runs of the Palimpsest leaderboard.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/v1/",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "RunStateEnum": "leaderboard.runs.states.RunState",
        "SubmissionStateEnum": "leaderboard.methods.models.SubmissionState",
        "UploadStateEnum": "leaderboard.uploads.models.UploadState",
        "ReleaseStateEnum": "leaderboard.benchmarks.models.ReleaseState",
    },
}

# --- the queue: messages that wake a worker, see leaderboard/config/celery.py -----------------------------------------
CELERY_TASK_DEFAULT_QUEUE = "palimpsest"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False  # the reaper sends a lost message again; redelivery would only wake twice
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker as long as it takes
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE = {
    "reap": {"task": "leaderboard.worker.tasks.reap", "schedule": 10.0, "options": {"expires": 9}},
}

# --- the evaluator, always a process of its own ----------------------------------------------------------------------
EVALUATOR_COMMAND = env.list("EVALUATOR_COMMAND", default=[sys.executable, "-m", "evaluator"])
EVALUATOR_BACKEND = env.str("EVALUATOR_BACKEND", default="podman")
EVALUATOR_THREADS = env.int("EVALUATOR_THREADS", default=2)
#: Overrides of evaluator.contract.Limits, e.g. EVALUATOR_LIMITS='{"wall_s": 600}'
EVALUATOR_LIMITS: dict[str, Any] = env.json("EVALUATOR_LIMITS", default={})
EVALUATOR_DIR = REPO  # where `python -m evaluator` is found

RUN_LEASE_TTL_S = env.float("RUN_LEASE_TTL_S", default=30.0)
RUN_HEARTBEAT_S = env.float("RUN_HEARTBEAT_S", default=5.0)
RUN_POLL_S = env.float("RUN_POLL_S", default=0.25)
RUN_WALL_S = env.float("RUN_WALL_S", default=7200.0)  # the whole run; containers have their own, shorter limits
RUN_KILL_GRACE_S = env.float("RUN_KILL_GRACE_S", default=10.0)  # between SIGTERM and SIGKILL
RUN_MAX_ATTEMPTS = env.int("RUN_MAX_ATTEMPTS", default=3)
RUN_BACKOFF_S = env.float("RUN_BACKOFF_S", default=5.0)  # times the attempt, after a failure of the platform
RUN_SUSPECT_S = env.float("RUN_SUSPECT_S", default=10.0)  # without a beat, between a lease found old and its end
RUN_SUBMITTER_RETRIES = env.int("RUN_SUBMITTER_RETRIES", default=2)  # of one run, after the platform failed it
RUN_NOTIFY_AFTER_S = env.float("RUN_NOTIFY_AFTER_S", default=15.0)  # after so long a message is sent again
BUILD_WALL_S = env.float("BUILD_WALL_S", default=7200.0)  # of a release that takes the place of a retired one
#: How long a worker holds on to what it has done while the database is away.
DATABASE_PATIENCE_S = env.float("DATABASE_PATIENCE_S", default=600.0)
#: A worker takes no run while the data folder has less room than this.
DISK_FREE_MIN_MB = env.int("DISK_FREE_MIN_MB", default=512)
RUNS_PER_HOST = env.int("RUNS_PER_HOST", default=1)
WORKER_SILENT_S = env.float("WORKER_SILENT_S", default=60.0)
INSPECT_WALL_S = env.float("INSPECT_WALL_S", default=900.0)  # pulling and looking through a large image included
RANK_WALL_S = env.float("RANK_WALL_S", default=600.0)
BOARD_RESAMPLES = env.int("BOARD_RESAMPLES", default=10_000)
#: The slug of the control that leaves the base as it is; boards state every entry's difference to it.
BASE_METHOD = env.str("BASE_METHOD", default="untouched-base")
#: Accepted submissions that one user may make in 24 hours; runs that the platform failed cost nothing.
# Runs of one person on one hidden release: what so many could carry out is counted in docs/security.md.
HIDDEN_RUNS_PER_RELEASE = env.int("HIDDEN_RUNS_PER_RELEASE", default=10)
SUBMISSIONS_PER_DAY = env.int("SUBMISSIONS_PER_DAY", default=20)
TRACE_MAX_MB = env.int("TRACE_MAX_MB", default=512)

# --- uploads of image archives; MB are millions of bytes -------------------------------------------------------------
UPLOAD_MAX_MB = env.int("UPLOAD_MAX_MB", default=8192)
UPLOADS_OPEN_PER_USER = env.int("UPLOADS_OPEN_PER_USER", default=3)
UPLOAD_MB_PER_DAY = env.int("UPLOAD_MB_PER_DAY", default=32_768)  # one user's, in 24 hours; not for organisers
UPLOAD_DISK_RESERVE_MB = env.int("UPLOAD_DISK_RESERVE_MB", default=5_000)  # stays free: images are loaded there too
UPLOAD_IDLE_H = env.float("UPLOAD_IDLE_H", default=24.0)  # an unfinished one that nothing comes for is removed
UPLOAD_KEEP_DAYS = env.float("UPLOAD_KEEP_DAYS", default=7.0)  # a finished one that no live submission names

LOGGING = logging_config(json=env.bool("LOG_JSON", default=False), level=env.str("LOG_LEVEL", default="INFO"))
