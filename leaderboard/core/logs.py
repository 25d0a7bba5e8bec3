"""How the site logs: structlog, one line an event; JSON where a machine reads it."""

from __future__ import annotations

import logging
from typing import Any

import structlog

from leaderboard.core.secrets import secrets_redact

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """The last step of every line, whoever logs it: arguments, tracebacks and other packages' messages included."""

    def format(self, record: logging.LogRecord) -> str:
        return secrets_redact(super().format(record))


def logging_config(*, json: bool, level: str) -> dict[str, Any]:
    """A `LOGGING` dict; standard-library records go through the same processors as structlog's own."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    console: Any = structlog.dev.ConsoleRenderer(
        colors=False,
        exception_formatter=structlog.dev.plain_traceback,  # the rich one prints local variables: secrets among them
    )
    renderer: Any = structlog.processors.JSONRenderer() if json else console
    chain: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if json:
        chain.append(structlog.processors.format_exc_info)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": RedactingFormatter,
                "processors": [*chain, renderer],
                "foreign_pre_chain": _SHARED,
            },
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django.server": {"handlers": ["console"], "propagate": False, "level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "kombu.connection": {"level": "ERROR"},  # warns at every message that a folder has no host name
            "celery.worker.strategy": {"level": "WARNING"},
        },
    }
