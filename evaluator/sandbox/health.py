"""Waits until a server answers GET /health on its unix socket."""

from __future__ import annotations

import http.client
import math
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EVERY_S = 0.05
_ANSWER_BYTES = 65_536


class DeadlineSocket(socket.socket):
    """A unix socket whose reads and writes must all be over at `deadline` (monotonic seconds).

    A plain timeout begins anew with every byte: a server that sends one a minute is never late.
    """

    deadline = math.inf

    def _left_s(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("not over in time")
        return left

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(self._left_s())
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(self._left_s())
        super().sendall(*arguments)


class UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 to a unix socket; request and answer together take `timeout_s` at most."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock: DeadlineSocket = DeadlineSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(str(self._path))

    def is_open(self) -> bool:
        return getattr(self, "sock", None) is not None

    def request(self, *arguments: Any, **options: Any) -> None:
        if not self.is_open():
            self.connect()
        self.sock.deadline = time.monotonic() + self._timeout_s
        super().request(*arguments, **options)


def health_wait(path: Path, ready_s: float, *, alive: Callable[[], bool]) -> str | None:
    """None as soon as the server answers 200; else, after `ready_s` seconds or its end, what was wrong."""
    deadline = time.monotonic() + ready_s
    problem = "the server opened no socket at $PALIMPSEST_SOCKET"
    while time.monotonic() < deadline and alive():
        answer = _ask(path, min(5.0, ready_s))
        if answer == "200":
            return None
        problem = answer or problem
        time.sleep(_EVERY_S)
    return f"{problem} (waited {ready_s:g} s)"


def _ask(path: Path, timeout_s: float) -> str:
    """ "200", or what was wrong, or "" while there is no socket."""
    try:
        # A link could lead to a socket of this machine: only a socket itself is connected to.
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return "$PALIMPSEST_SOCKET is not a socket"
    except OSError:
        return ""
    connection = UnixConnection(path, timeout_s)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read(_ANSWER_BYTES)
        return "200" if answer.status == 200 else f"GET /health answered {answer.status}, not 200"
    except (OSError, http.client.HTTPException) as error:
        return f"GET /health failed: {type(error).__name__}: {error}"
    finally:
        connection.close()
