"""Waits until a server answers GET /health on its unix socket."""

from __future__ import annotations

import http.client
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

_EVERY_S = 0.05
_ANSWER_BYTES = 65_536


class UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 to a unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


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
