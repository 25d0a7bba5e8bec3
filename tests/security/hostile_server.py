"""Servers that answer a completions request in ways that no honest one would; each gets a connected unix socket."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Answer = Callable[[socket.socket], None]


def http(body: bytes, *, status: str = "200 OK", length: int | None = None, extra: str = "") -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n{extra}\r\n"
    return head.encode() + body


def sends(data: bytes) -> Answer:
    return lambda link: link.sendall(data)


def answers(choices: object) -> Answer:
    return sends(http(json.dumps({"choices": choices}).encode()))


def answers_raw(body: str) -> Answer:
    return sends(http(body.encode()))


def scored(text: str) -> Answer:
    """A score of one token after a prompt of one, with `text` where the log-probability stands."""
    logprobs = f'{{"token_logprobs": [null, {text}, -1], "top_logprobs": [null, {{"a": -0.5}}, {{"a": -1}}]}}'
    return answers_raw(f'{{"choices": [{{"index": 0, "logprobs": {logprobs}}}]}}')


def drips(link: socket.socket) -> None:
    """A slow loris: a byte of the body now and then, for ever."""
    link.sendall(http(b"", length=100_000))
    while True:
        link.sendall(b" ")
        time.sleep(0.05)


def drips_headers(link: socket.socket) -> None:
    link.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        link.sendall(b"X")
        time.sleep(0.05)


def continues(link: socket.socket) -> None:
    """`100 Continue` again and again: an answer that is never the answer."""
    while True:
        link.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def endless(link: socket.socket) -> None:
    """A body without a length and without an end, as fast as it goes."""
    link.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        link.sendall(b"[" * 65_536)


def endless_chunks(link: socket.socket) -> None:
    link.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        link.sendall(b"10000\r\n" + b"[" * 65_536 + b"\r\n")


def endless_error(link: socket.socket) -> None:
    link.sendall(b"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n")
    while True:
        link.sendall(b"x" * 65_536)


def says_nothing(_: socket.socket) -> None:
    time.sleep(30)


def zipped() -> Answer:
    """30 MB of blanks in some 130 KB."""
    return sends(http(gzip.compress(b" " * 30_000_000, 1), extra="Content-Encoding: gzip\r\n"))


def request_read(link: socket.socket) -> bytes:
    """One whole request, or b"" when there is no more."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := link.recv(1 << 20)):
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    size = int(re.search(rb"(?i)content-length: (\d+)|$", head)[1] or 0)  # type: ignore[index]
    while len(body) < size:
        body += link.recv(1 << 20)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[Path, list[bytes]]]:
    """A socket at which every request is read and then answered by `answer`; with the list of the requests."""
    requests: list[bytes] = []

    def serve(link: socket.socket) -> None:
        with contextlib.suppress(OSError), link:
            while data := request_read(link):
                requests.append(data)
                answer(link)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = listener.accept()
                threading.Thread(target=serve, args=(link,), daemon=True).start()

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/s")
        listener.listen()
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield Path(folder) / "s", requests
        listener.shutdown(socket.SHUT_RDWR)
