"""Keeps secrets out of what is written down: known values, and what looks like one by its name or its form."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

WITHHELD = "[withheld]"
#: Below this many characters a value is too common a word to be looked for in every line.
_SHORTEST = 8

_FORMS = (
    # scheme://name:password@host
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(@)", re.IGNORECASE), rf"\1{WITHHELD}\2"),
    # Authorization: Token …, and the token alone
    (re.compile(r"\b((?:token|bearer|basic) +)[A-Za-z0-9._~+/=-]{16,}", re.IGNORECASE), rf"\1{WITHHELD}"),
    # sessionid=…, "password": "…", secret_key = …
    (
        re.compile(
            r"""((?:password\d?|passwd|secret|secret_?key|api_?key|access_?key|sessionid|csrf(?:middleware)?token|"""
            r"""authorization|set-cookie|cookie)["']?\s*[=:]\s*["']?)(?!\[withheld\])[^\s"',;&}]+""",
            re.IGNORECASE,
        ),
        rf"\1{WITHHELD}",
    ),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), WITHHELD),
)


def secrets_redact(text: str) -> str:
    """`text` without the site's own secrets and without anything that has the form of one."""
    for value in _known() if settings.configured else ():
        text = text.replace(value, WITHHELD)
    for form, kept in _FORMS:
        text = form.sub(kept, text)
    return text


@lru_cache(maxsize=1)
def _known() -> tuple[str, ...]:
    """The values themselves, longest first."""
    found: list[Any] = [
        getattr(settings, "SECRET_KEY", ""),
        *getattr(settings, "SECRET_KEY_FALLBACKS", ()),
        getattr(settings, "EMAIL_HOST_PASSWORD", ""),
        *(database.get("PASSWORD") for database in getattr(settings, "DATABASES", {}).values()),
        *(storage.get("OPTIONS", {}).get("secret_key") for storage in getattr(settings, "STORAGES", {}).values()),
        urlsplit(getattr(settings, "CELERY_BROKER_URL", "") or "").password,
        *(urlsplit(str(cache.get("LOCATION", ""))).password for cache in getattr(settings, "CACHES", {}).values()),
    ]
    values = {str(value) for value in found if value and len(str(value)) >= _SHORTEST}
    return tuple(sorted(values, key=len, reverse=True))
