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
    410: "It was here and is no more.",
    411: "The length of the body is missing.",
    412: "Another version of the tus protocol.",
    413: "More bytes than are taken.",
    415: "Not the media type of this address.",
    460: "The checksum is not that of what arrived; nothing of it was kept.",
    507: "The disk of the site is too full.",
    429: "Too much in too short a time.",
}


def answers(ok: Any, *, status: int = 200, errors: tuple[int, ...] = ()) -> dict[int, Any]:
    """The `responses` of an operation: its answer and its errors."""
    found: dict[int, Any] = {status: ok}
    for code in (*errors, 429):
        found[code] = OpenApiResponse(ErrorsSerializer, description=_MEANING[code])
    return found


__all__ = ["answers", "extend_schema"]
