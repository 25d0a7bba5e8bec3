"""One log line a request that failed or was slow, with an id that the answer carries too."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac

logger = structlog.get_logger(__name__)
SLOW_S = 1.0


def client_hash(request: HttpRequest) -> str:
    """Tells one address from another without naming it: a hash keyed by the site's secret.

    Behind a proxy of ours it is the last address of X-Forwarded-For: the one that the proxy itself saw.
    """
    forwarded = request.headers.get("X-Forwarded-For", "") if settings.SECURE_PROXY_SSL_HEADER else ""
    address = forwarded.rpartition(",")[2].strip() or request.META.get("REMOTE_ADDR", "")
    return salted_hmac("palimpsest.client", address).hexdigest()[:16] if address else ""


class RequestLogMiddleware:
    """Binds `request_id` and `client` to every log line of a request and answers it in `X-Request-ID`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = uuid.uuid4().hex[:12]
        # What comes after the answer, in the same thread, is not this request's doing.
        with structlog.contextvars.bound_contextvars(request_id=request_id, client=client_hash(request)):
            started = time.monotonic()
            response = self.get_response(request)
            wall_s = time.monotonic() - started
            # A piece of an upload takes as long as its sender's line.
            slow = wall_s > SLOW_S and request.method != "PATCH"
            if response.status_code >= 500 or slow:
                logger.warning(
                    "request",
                    method=request.method,
                    path=request.path,
                    status=response.status_code,
                    wall_s=round(wall_s, 3),
                )
        response["X-Request-ID"] = request_id
        return response
