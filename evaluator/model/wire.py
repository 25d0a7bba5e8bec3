"""Answers of a stranger's server: bounded in bytes, plain, followed nowhere; their time is the caller's to bound."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from evaluator.contract import EvaluationFailed, FailureCode

HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


async def answer_read(
    client: httpx2.AsyncClient, path: str, body: dict[str, Any] | None, *, max_bytes: int
) -> dict[str, Any]:
    """POST `body` as JSON (None: GET); the answer's JSON object. `client` must not follow redirects.

    Raises `EvaluationFailed`: server_died (no answer, half of one, or none of HTTP), server_not_conformant (anything
    else than 200 with at most `max_bytes` of plain JSON).
    """
    method = "GET" if body is None else "POST"
    where = f"{method} {path}"
    data = bytearray()
    try:
        async with client.stream(method, path, json=body) as answer:
            if answer.headers.get("content-encoding", "identity").lower() != "identity":
                raise _refuse(where, "the answer is compressed; send it plain")
            announced = answer.headers.get("content-length", "")
            if answer.status_code == httpx2.codes.OK and announced.isdecimal() and int(announced) > max_bytes:
                raise _refuse(where, f"announces {announced} bytes, more than {max_bytes}")
            async for chunk in answer.aiter_raw():
                data += chunk
                if answer.status_code != httpx2.codes.OK:
                    break
                if len(data) > max_bytes:
                    raise _refuse(where, f"the answer has more than {max_bytes} bytes")
            if answer.status_code != httpx2.codes.OK:
                shown = bytes(data[:300]).decode(errors="replace")
                raise _refuse(where, f"status {answer.status_code}, not 200: {shown}")
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise EvaluationFailed(FailureCode.SERVER_DIED, f"{where}: {type(error).__name__}") from None
    return _object(bytes(data), where)


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refuse(where, f"is not JSON: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise _refuse(where, "is not a JSON object")
    return found


def _refuse(where: str, problem: str) -> EvaluationFailed:
    return EvaluationFailed(FailureCode.SERVER_NOT_CONFORMANT, f"{where}: {problem}")
