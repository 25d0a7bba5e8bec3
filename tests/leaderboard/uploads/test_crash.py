"""Uploads to a real gunicorn: killed in the middle of a piece, connections that break, two senders at once."""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from knox.models import AuthToken

from leaderboard.accounts.models import User
from tests.leaderboard.uploads.conftest import ADDRESS, PIECE, archive_make

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[3]
DATA = archive_make(size=6_000_000)


class Web:
    """gunicorn on the test's database and data folder; it can be killed and started again on the same port."""

    def __init__(self, home: Path, token: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.home, self.token = home, token
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {
            "PALIMPSEST_HOME": str(self.home),
            "DJANGO_SETTINGS_MODULE": "leaderboard.config.settings.embedded",
            "UPLOAD_DISK_RESERVE_MB": "0",
        }
        command = [sys.executable, "-m", "gunicorn", "leaderboard.config.wsgi", "--no-control-socket", "--threads", "4"]
        with (self.home / "web.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--bind", f"127.0.0.1:{self.port}"],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(300):
            try:
                if self.call("OPTIONS", ADDRESS)[0] == 204:
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.home / "web.log").read_text()[-2000:])

    def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def headers(self, **more: str) -> dict[str, str]:
        named = {key.replace("_", "-"): value for key, value in more.items()}
        return {"Authorization": f"Token {self.token}", "Tus-Resumable": "1.0.0"} | named

    def call(self, method: str, path: str, body: bytes = b"", **more: str) -> tuple[int, dict[str, str]]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        link.request(method, path, body=body or None, headers=self.headers(**more))
        answer = link.getresponse()
        answer.read()
        link.close()
        return answer.status, dict(answer.getheaders())

    def open(self) -> str:
        status, headers = self.call("POST", ADDRESS, Upload_Length=str(len(DATA)))
        assert status == 201
        return headers["Location"].partition(str(self.port))[2]

    def offset(self, path: str) -> int:
        return int(self.call("HEAD", path)[1]["Upload-Offset"])

    def patch(self, path: str, data: bytes, offset: int) -> int:
        return self.call("PATCH", path, data, Upload_Offset=str(offset), Content_Type=PIECE)[0]

    def begin(self, path: str, offset: int, whole: int, data: bytes) -> socket.socket:
        """A PATCH that promises `whole` bytes and sends only `data` of them."""
        link = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        headers = self.headers(
            Upload_Offset=str(offset), Content_Type=PIECE, Content_Length=str(whole), Host="localhost"
        )
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        link.sendall(f"PATCH {path} HTTP/1.1\r\n{lines}\r\n".encode() + data)
        return link

    def peak_kb(self) -> int:
        """The most memory that the serving process has had."""
        assert self.process is not None
        (worker,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        status = Path(f"/proc/{worker}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])

    def wait_for(self, path: str, at_least: int) -> int:
        for _ in range(200):
            if (offset := self.offset(path)) >= at_least:
                return offset
            time.sleep(0.05)
        raise AssertionError(f"only {offset} bytes came")


@pytest.fixture
def web(tmp_path: Path, user: User) -> Iterator[Web]:
    (tmp_path / "db.sqlite3").symlink_to(connection.settings_dict["NAME"])
    for ending in ("-wal", "-shm"):
        (tmp_path / f"db.sqlite3{ending}").symlink_to(f"{connection.settings_dict['NAME']}{ending}")
    found = Web(tmp_path, AuthToken.objects.create(user)[1])
    found.start()
    yield found
    found.kill()


def stored(web: Web) -> bytes:
    (part,) = (web.home / "uploads" / "incoming").iterdir()
    return part.read_bytes()


def test_kill_9_in_the_middle_of_a_piece_loses_nothing_that_was_acknowledged(web: Web) -> None:
    path = web.open()
    assert web.patch(path, DATA[:1_000_000], 0) == 204
    link = web.begin(path, 1_000_000, 4_000_000, DATA[1_000_000:3_000_000])
    web.wait_for(path, 1_500_000)
    web.kill()
    link.close()
    web.start()
    offset = web.offset(path)
    assert 1_500_000 <= offset <= 3_000_000
    assert stored(web) == DATA[:offset], "what is there is what was sent, to the byte"
    assert web.patch(path, DATA[offset:], offset) == 204
    assert hashlib.sha256(stored(web)).digest() == hashlib.sha256(DATA).digest()


def test_a_connection_that_breaks_keeps_what_came_and_one_that_hangs_blocks_nobody(web: Web) -> None:
    path = web.open()
    hanging = web.begin(path, 0, 4_000_000, DATA[:1_000_000])
    offset = web.wait_for(path, 700_000)
    assert web.patch(path, DATA[offset : offset + 500_000], offset) == 204, "the hanging one holds no lock"
    hanging.close()
    offset = web.offset(path)
    assert web.patch(path, DATA[offset:], offset) == 204
    assert stored(web) == DATA


def test_two_pieces_at_once_for_one_place_never_mix(web: Web) -> None:
    path = web.open()
    answers: list[int] = []

    def send(fill: bytes) -> None:
        answers.append(web.patch(path, DATA[:512] + fill * 2_000_000, 0))

    senders = [threading.Thread(target=send, args=(fill,)) for fill in (b"a", b"b")]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    found = stored(web)
    assert sorted(answers) in ([204, 409], [409, 409])
    assert len(set(found[512:])) <= 2
    assert len(found) == web.offset(path) <= 2_000_512
    if 204 in answers:
        assert set(found[512:]) in ({ord("a")}, {ord("b")})


def test_a_piece_of_any_size_is_taken_in_small_memory(web: Web) -> None:
    big = archive_make(size=120_000_000)
    status, headers = web.call("POST", ADDRESS, Upload_Length=str(len(big)))
    assert status == 201
    before_kb = web.peak_kb()
    assert web.patch(headers["Location"].partition(str(web.port))[2], big, 0) == 204
    assert web.peak_kb() - before_kb < 20_000
