"""Every error of the API in one form: `{"errors": [{field, value, problem, remedy}]}`, every problem at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from leaderboard.core.problems import Problem, Refused, problem_make

_REMEDIES = {
    400: "see /api/docs/ for what this address takes",
    401: "get a token with `palimpsest login` or POST /api/v1/auth/token/, and send it as `Authorization: Token …`",
    403: "sign in as somebody who may do this",
    404: "look it up in the list of this resource",
    405: "see /api/docs/ for the methods of this address",
    406: "ask for application/json",
    415: "send application/json",
    429: "wait a moment and try again",
}


class ProblemSerializer(serializers.Serializer[Problem]):
    field = serializers.CharField()
    value = serializers.CharField(allow_blank=True)
    problem = serializers.CharField()
    remedy = serializers.CharField()


class ErrorsSerializer(serializers.Serializer[Any]):
    errors = ProblemSerializer(many=True)  # type: ignore[assignment]


def problems_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: what a view raised, as problems. None (500) for what nobody expected."""
    if isinstance(error, Refused):
        set_rollback()
        return Response({"errors": error.problems}, status=error.status)
    if isinstance(error, RequestDataTooBig):
        set_rollback()
        problem = problem_make("body", "", "has more bytes than are taken", "send a smaller one")
        return Response({"errors": [problem]}, status=413)
    response = exception_handler(error, context)
    if response is None:
        return None
    status = response.status_code
    request: Request = context["request"]
    if isinstance(error, exceptions.ValidationError):
        problems = list(_flatten(error.detail, request))
    else:
        problems = [_general(error, status, context)]
    response.data = {"errors": problems}
    return response


def _general(error: Exception, status: int, context: dict[str, Any]) -> Problem:
    remedy = _REMEDIES.get(status, "see /api/docs/")
    if isinstance(error, Http404 | exceptions.NotFound):
        name, value = next(iter(context.get("kwargs", {}).items()), ("address", context["request"].path))
        return problem_make(name, value, "is not known", remedy)
    if status == 401:
        given = context["request"].headers.get("Authorization", "")
        scheme = given.split(" ", 1)[0]
        if scheme and scheme.lower() != "token":
            return problem_make("Authorization", scheme, "is not a scheme that is read here", remedy)
        problem = "is not valid, or was deleted" if given else "is missing"
        return problem_make("token", given[:12] + "…" if given else "", problem, remedy)
    if isinstance(error, exceptions.ParseError):
        return problem_make("body", "", str(error.detail), "send valid JSON")
    if isinstance(error, PermissionDenied):
        return problem_make("request", "", "is not allowed", remedy)
    return problem_make("request", "", str(getattr(error, "detail", error)), remedy)


def _flatten(detail: Any, request: Request, path: str = "") -> Iterator[Problem]:
    if isinstance(detail, dict):
        for key, inner in detail.items():
            name = path if key == "non_field_errors" else f"{path}.{key}" if path else str(key)
            yield from _flatten(inner, request, name)
    elif isinstance(detail, list):
        for number, inner in enumerate(detail):
            yield from _flatten(inner, request, f"{path}[{number}]" if isinstance(inner, dict) and inner else path)
    else:
        code = getattr(detail, "code", "")
        remedy = f"add `{path}`" if code == "required" else "see /api/docs/ for the allowed values"
        yield problem_make(path or "body", _value(request, path), str(detail), remedy)


def _value(request: Request, path: str) -> object:
    top = path.split(".", 1)[0].split("[", 1)[0]
    if top in request.query_params:
        return request.query_params[top]
    data = request.data if isinstance(request.data, dict) else {}
    value = data.get(top, "")
    return "" if top == "password" or isinstance(value, dict) else value
