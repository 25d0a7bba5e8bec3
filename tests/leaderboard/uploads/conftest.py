"""Small real archives, and a tus client that sends them piece by piece."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from knox.models import AuthToken

from leaderboard.accounts.models import User

ADDRESS = "/api/v1/uploads/"
PIECE = "application/offset+octet-stream"


def archive_make(seed: int = 1, size: int = 20_000) -> bytes:
    """A tar with one file of `size` bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = size
        tar.addfile(info, io.BytesIO(bytes([seed]) * size))
    return out.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64_of(value.encode())}" for key, value in values.items())


def sum_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm} {base64_of(hashlib.new(algorithm, data).digest())}"


@dataclass
class Tus:
    """What a tus client does, request by request, as one person."""

    http: Client
    token: str

    def headers(self, **more: str) -> dict[str, str]:
        named = {key.replace("_", "-"): value for key, value in more.items()}
        return {"Authorization": f"Token {self.token}", "Tus-Resumable": "1.0.0"} | named

    def create(self, size: int, **more: str) -> Any:
        return self.http.post(ADDRESS, headers=self.headers(Upload_Length=str(size), **more), content_type="text/plain")

    def open(self, data: bytes, **values: str) -> str:
        """The path of a new upload for `data`."""
        answer = self.create(len(data), Upload_Metadata=metadata(filename="image.tar", **values))
        assert answer.status_code == 201, answer.content
        return str(answer["Location"]).removeprefix("http://testserver")

    def patch(self, path: str, data: bytes, offset: int, **more: str) -> Any:
        headers = self.headers(Upload_Offset=str(offset), **more)
        return self.http.patch(path, data=data, content_type=PIECE, headers=headers)

    def offset(self, path: str) -> int:
        return int(self.http.head(path, headers=self.headers())["Upload-Offset"])

    def state(self, path: str) -> dict[str, Any]:
        return dict(self.http.get(path, headers=self.headers()).json())

    def delete(self, path: str) -> Any:
        return self.http.delete(path, headers=self.headers())

    def send(self, data: bytes, **values: str) -> str:
        """All of `data` in pieces of 7,000 bytes; the path of the upload."""
        path = self.open(data, **values)
        for at in range(0, len(data), 7_000):
            assert self.patch(path, data[at : at + 7_000], at).status_code == 204
        return path


def tus_of(user: User) -> Tus:
    return Tus(Client(), AuthToken.objects.create(user)[1])


@pytest.fixture
def tus(user: User) -> Tus:
    return tus_of(user)


@pytest.fixture
def other(stranger: User) -> Tus:
    return tus_of(stranger)


@pytest.fixture(autouse=True)
def _room(settings: Any) -> None:
    """The machine that runs the tests may have little room left."""
    settings.UPLOAD_DISK_RESERVE_MB = 0
