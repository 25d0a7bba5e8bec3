"""Carries a server's unix socket out of its pod: a socket here, and one `kubectl exec` a connection."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

#: Runs beside the server, with its socket's path as argument: what comes in goes to the socket, and back.
PROGRAM = """
import os, select, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
while True:
    for ready in select.select([0, server], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else server.recv(65536)
        if not data:
            sys.exit()
        if ready == 0:
            server.sendall(data)
        else:
            while data:
                data = data[os.write(1, data):]
"""
#: More connections than anybody of ours opens.
_MOST = 80


class Relay:
    """Listens on `path`; each connection becomes the input and output of one run of `command`."""

    def __init__(self, path: Path, command: list[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = dict(environment)
        self._children: list[subprocess.Popen[bytes]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._accept, name="relay", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            with connection:
                self._children = [child for child in self._children if child.poll() is None]
                if len(self._children) < _MOST:
                    self._children.append(
                        subprocess.Popen(
                            self._command,
                            stdin=connection.fileno(),
                            stdout=connection.fileno(),
                            stderr=subprocess.DEVNULL,
                            env=self._environment,
                        )
                    )

    def close(self) -> None:
        for end in (lambda: self._listener.shutdown(socket.SHUT_RDWR), self._listener.close):
            _quietly(end)
        self._thread.join(10.0)
        for child in self._children:
            child.kill()
            child.wait()


def _quietly(call: Callable[[], None]) -> None:
    try:
        call()
    except OSError:
        return
