"""What every request passes: one log line when it failed or was slow, with an id that the answer carries too; the slash
at an address's end; and errors of the API as problems, whoever found them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponsePermanentRedirect, JsonResponse
from django.middleware.common import CommonMiddleware
from django.utils.crypto import salted_hmac
from django.utils.http import escape_leading_slashes

from leaderboard.core.problems import Problem, problem_make

logger = structlog.get_logger(__name__)
SLOW_S = 1.0
_API = "/api/"
#: What Django itself answers to a request of the API, and what to do.
_FOUND_BY_DJANGO = {
    400: ("request", "is not one that can be read", "send valid headers and a body in UTF-8"),
    403: ("request", "is not allowed", "send a token as `Authorization: Token …`"),
    404: ("address", "is not known", "see /api/docs/ for the addresses"),
    405: ("request", "is no method of this address", "see /api/docs/"),
    413: ("body", "has more bytes than are taken", "send a smaller one"),
}
_OURS = ("request", "met a fault of this site", "try again; if it stays, tell the organisers this id")


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


class SlashMiddleware(CommonMiddleware):
    """Sends who forgot the slash at an address's end there: a POST as a POST (308), for a 301 makes a GET of it."""

    def get_full_path_with_slash(self, request: HttpRequest) -> str:
        return escape_leading_slashes(request.get_full_path(force_append_slash=True))

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.status_code != 404 or request.method in {"GET", "HEAD"}:
            return super().process_response(request, response)
        if not self.should_redirect_with_slash(request):
            return super().process_response(request, response)
        moved = HttpResponsePermanentRedirect(self.get_full_path_with_slash(request), preserve_request=True)
        remedy = f"send it to {moved.url}"
        problem = problem_make("address", request.path, "has no slash at its end; nothing was done", remedy)
        moved.content = _body(problem)
        moved["Content-Type"] = "application/json"
        return super().process_response(request, moved)


class ProblemsMiddleware:
    """Errors of the API that no view of it has written are problems too, and text is UTF-8: another charset can spell
    half characters, which no page and no database takes.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        charset = (request.content_params or {}).get("charset", "utf-8")
        if charset.lower() not in {"utf-8", "utf8", "us-ascii"}:
            problem = problem_make("Content-Type", f"charset={charset}", "is not UTF-8", "send UTF-8")
            return HttpResponse(_body(problem), status=415, content_type="application/json")
        response = self.get_response(request)
        if response.status_code < 400 or not request.path.startswith(_API):
            return response
        if response.headers.get("Content-Type", "").partition(";")[0] == "application/json":
            return response
        field, problem_text, remedy = _FOUND_BY_DJANGO.get(response.status_code, _OURS)
        value = {"address": request.path, "body": ""}.get(field, response.headers.get("X-Request-ID", ""))
        response.content = _body(problem_make(field, value, problem_text, remedy))
        response["Content-Type"] = "application/json"
        response["Content-Length"] = str(len(response.content))
        return response


def _body(problem: Problem) -> bytes:
    return JsonResponse({"errors": [problem]}).content
