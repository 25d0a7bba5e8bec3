"""One log line a request that failed or was slow, with an id that the answer carries too."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

logger = structlog.get_logger(__name__)
SLOW_S = 1.0


class RequestLogMiddleware:
    """Binds `request_id` to every log line of a request and answers it in `X-Request-ID`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = uuid.uuid4().hex[:12]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.monotonic()
        response = self.get_response(request)
        wall_s = time.monotonic() - started
        slow = wall_s > SLOW_S and request.method != "PATCH"  # a piece of an upload takes as long as its sender's line
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
