"""The headers of the tus 1.0.0 protocol (resumable uploads): read from a request, written on an answer."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.http import HttpRequest, UnreadablePostError
from django.utils.http import http_date

from leaderboard.core.problems import Refused, problem_make
from leaderboard.uploads.models import METADATA_MAX
from leaderboard.uploads.policies import max_bytes
from leaderboard.uploads.services import CHECKSUMS

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,termination,expiration"
CONTENT_TYPE = "application/offset+octet-stream"


class VersionRefused(Refused):
    status = 412


class TypeRefused(Refused):
    status = 415


class LengthMissing(Refused):
    status = 411


class Body:
    """The body of a request as a stream; where the connection breaks off it ends."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def read(self, size: int, /) -> bytes:
        try:
            return self._request.read(size)
        except UnreadablePostError:
            return b""


def server_headers() -> dict[str, str]:
    """What this server can do: the answer to OPTIONS."""
    return {
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(max_bytes()),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }


def version_check(request: HttpRequest) -> None:
    """Raises `VersionRefused` for a client that speaks another version, or none."""
    given = request.headers.get("Tus-Resumable", "")
    if given != VERSION:
        problem = "is not a version of the tus protocol that is spoken here" if given else "is missing"
        raise VersionRefused([problem_make("Tus-Resumable", given, problem, f"send `Tus-Resumable: {VERSION}`")])


def has_content(request: HttpRequest) -> bool:
    """Whether a creation brings its first bytes with it."""
    return request.content_type == CONTENT_TYPE


def content_length(request: HttpRequest) -> int:
    """Bytes of the body. Raises `TypeRefused`, `LengthMissing`."""
    if not has_content(request):
        raise TypeRefused(
            [problem_make("Content-Type", request.content_type, "is not that of a piece", f"send {CONTENT_TYPE}")]
        )
    if "Content-Length" not in request.headers:
        raise LengthMissing([problem_make("Content-Length", "", "is missing", "send the piece with its length")])
    return number_read(request, "Content-Length")


def number_read(request: HttpRequest, name: str) -> int:
    """A header that must be there and be a whole number. Raises `Refused`."""
    text = request.headers.get(name, "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        problem = "is not a whole number of bytes" if text else "is missing"
        raise Refused([problem_make(name, text, problem, f"send `{name}: <bytes>`")])
    return int(text)


@dataclass(frozen=True)
class Metadata:
    """`Upload-Metadata`: the values that are known here, and all of it `as_sent`, as HEAD gives it back."""

    known: dict[str, str]
    as_sent: str


def metadata_read(request: HttpRequest, *, known: Collection[str]) -> Metadata:
    """Names with values in base64, commas between; a value may be missing. Raises `Refused`."""
    text = request.headers.get("Upload-Metadata", "").strip()
    values: dict[str, bytes] = {}
    for pair in text.split(",") if text else []:
        key, _, value = pair.strip().partition(" ")
        try:
            decoded = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise _metadata_refused(pair, "is not in base64") from None
        if not key or not key.isascii() or not key.isprintable() or key in values:
            raise _metadata_refused(pair, "has no name of its own in ASCII")
        values[key] = decoded
    if len(text) > METADATA_MAX:
        raise _metadata_refused(text, f"has more than {METADATA_MAX} characters")
    found: dict[str, str] = {}
    for key in values.keys() & set(known):
        try:
            found[key] = values[key].decode()
        except UnicodeDecodeError:
            raise _metadata_refused(key, "is not UTF-8") from None
    return Metadata(found, text)


def _metadata_refused(value: str, problem: str) -> Refused:
    remedy = "send `key base64(value)` with a key of its own for each value, and commas between the pairs"
    return Refused([problem_make("Upload-Metadata", value, problem, remedy)])


def metadata_write(values: dict[str, str]) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items() if value)


def checksum_read(request: HttpRequest) -> tuple[str, bytes] | None:
    """`Upload-Checksum` as algorithm and digest; None when the client sends none. Raises `Refused`."""
    text = request.headers.get("Upload-Checksum", "").strip()
    if not text:
        return None
    algorithm, _, value = text.partition(" ")
    try:
        digest = base64.b64decode(value, validate=True)
    except binascii.Error:
        digest = b""
    if algorithm not in CHECKSUMS or not digest:
        remedy = f"send one of {', '.join(CHECKSUMS)} and the digest in base64"
        raise Refused([problem_make("Upload-Checksum", text, "is not a checksum that is known here", remedy)])
    return algorithm, digest


def expires_write(at: datetime) -> str:
    return http_date(at.timestamp())
