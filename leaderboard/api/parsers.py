"""Bodies of requests: JSON of a bounded size and depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework import parsers
from rest_framework.utils import json

from leaderboard.core.problems import Refused, TooLarge, problem_make

#: Objects and lists within one another; a manifest may have fewer (`evaluator.contract`).
NESTING_MAX = 64


class JSONParser(parsers.JSONParser):
    """Reads no more than `DATA_UPLOAD_MAX_MEMORY_SIZE` bytes, and drops one byte-order mark."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The value. Raises `Refused`, `TooLarge`."""
        limit = int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            remedy = f"send at most {limit}; an image archive goes to /api/v1/uploads/ in pieces"
            raise TooLarge([problem_make("body", "", f"has more than {limit} bytes", remedy)])
        try:
            value = json.loads(raw.decode("utf-8-sig"), parse_constant=json.strict_constant)
        except RecursionError:
            raise _too_deep() from None
        except ValueError as error:
            problem = f"JSON parse error - {error}"
            raise Refused([problem_make("body", "", problem, "send valid JSON in UTF-8")]) from None
        level = [value]
        for _ in range(NESTING_MAX + 1):
            level = [inner for item in level for inner in _inner(item)]
            if not level:
                return value
        raise _too_deep()


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _too_deep() -> Refused:
    problem = f"holds objects or lists more than {NESTING_MAX} deep"
    return Refused([problem_make("body", "", problem, "send what this address takes: see /api/docs/")])
