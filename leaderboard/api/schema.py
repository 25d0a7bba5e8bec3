"""What the schema says of every address: which errors it may give."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema

from leaderboard.api.errors import ErrorsSerializer

_MEANING = {
    400: "Something in the request is wrong: every problem at once.",
    401: "The token is missing or not valid.",
    403: "Not allowed for you.",
    404: "Not known.",
    409: "It exists already, or is in a state that does not allow this.",
    429: "Too much in too short a time.",
}


def answers(ok: Any, *, status: int = 200, errors: tuple[int, ...] = ()) -> dict[int, Any]:
    """The `responses` of an operation: its answer and its errors."""
    found: dict[int, Any] = {status: ok}
    for code in (*errors, 429):
        found[code] = OpenApiResponse(ErrorsSerializer, description=_MEANING[code])
    return found


__all__ = ["answers", "extend_schema"]
