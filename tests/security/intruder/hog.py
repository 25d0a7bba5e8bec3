"""Hostile programs, one a run: they fill, flood, fork, stay behind, hide things and look for those of others."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import time
from pathlib import Path

OUT = Path("/out")
MARKER = "the-other-runs-secret"


def bomb() -> None:
    """Doubles for ever, each child in a session of its own, deaf to SIGTERM; at the limit it just tries again."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("begun", flush=True)
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            time.sleep(0.01)


def fill(where: str) -> None:
    """Write bytes until something gives: the file system, or the kernel."""
    block = b"x" * (1 << 20)
    with contextlib.suppress(OSError), (Path(where) / "filler").open("wb", buffering=0) as file:
        for number in range(4096):
            file.write(block)
            if number % 16 == 0:
                print(number, "MB", flush=True)
    print("full", flush=True)
    time.sleep(0.2)
    os._exit(1)


def inodes(where: str) -> None:
    """Make empty files until something gives."""
    made = 0
    try:
        for number in range(10_000_000):
            (Path(where) / f"{number:x}").touch()
            made = number
    except OSError as error:
        print("stopped after", made, error.errno, flush=True)
    os._exit(1)


def memory_file() -> None:
    """Anonymous files in memory, which no size of a mount bounds."""
    file = os.memfd_create("x")
    while True:
        os.write(file, b"x" * (1 << 20))


def shared_memory() -> None:
    """System V segments: they outlive whoever made them."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    while True:
        ident = libc.shmget(0, 8 << 20, 0o1600)
        if ident < 0:
            print("no segment", ctypes.get_errno(), flush=True)
            os._exit(1)
        ctypes.memset(libc.shmat(ident, None, 0), 1, 8 << 20)


def pipes() -> None:
    """Memory in the kernel's own buffers: every pipe that may be opened, filled."""
    ends = []
    with contextlib.suppress(OSError):
        while True:
            reading, writing = os.pipe()
            os.set_blocking(writing, False)
            ends.append((reading, writing))
    filled = 0
    for _, writing in ends:
        with contextlib.suppress(OSError):
            while True:
                filled += os.write(writing, b"x" * 65_536)
    print("pipes", len(ends), "bytes", filled, flush=True)
    os._exit(1)


def flood() -> None:
    """Both streams, as fast as they take it, for ever."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    block = (b"x" * 4000 + b'\n{"progress": 0.5, "stage": "\x1b[2J"}\n') * 256
    if os.fork() == 0:
        while True:
            os.write(2, block)
    while True:
        os.write(1, block)


def survivor() -> None:
    """Leaves a child of its own session behind that goes on writing, and ends well."""
    (OUT / "result.json").write_text("{}")
    ready, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            number, late = 0, os.open(OUT / "late.txt", os.O_CREAT | os.O_WRONLY)
            while True:
                number += 1
                os.pwrite(late, f"{number:09}".encode(), 0)  # never empty, whenever it is killed
                (OUT / "swap").write_text("{}")
                os.replace(OUT / "swap", OUT / "result.json")
                (OUT / "link").symlink_to("/etc/shadow")
                os.replace(OUT / "link", OUT / "result.json")
                if number == 50:
                    os.write(tell, b"x")
        os._exit(0)
    os.read(ready, 1)


def pipe_as_result() -> None:
    os.mkfifo(OUT / "result.json")


def sockets() -> None:
    """As many socket files as there is room for."""
    made = 0
    with contextlib.suppress(OSError):
        while True:
            link = socket.socket(socket.AF_UNIX)
            link.bind(f"/out/{made}")
            link.close()
            made += 1
    print("sockets", made, flush=True)


def forge() -> None:
    """What a scored run leaves, made up."""
    card = {"run_id": "x", "scores": [{"key": "overall", "value": 1.0}]}
    for name in ("scorecard.json", "receipt.json", "progress.json", "run.log", "trace.parquet", "seal.json"):
        (OUT / name).write_text(json.dumps(card))
    (OUT / "result.json").write_text("{}")
    print(json.dumps({"run_id": "x", "stage": "done", "fraction": 1.0}), flush=True)
    print('{"progress": 1.0, "stage": "done"}', flush=True)
    print(json.dumps(card), flush=True)


def speak() -> None:
    """What a terminal or a page could obey."""
    evil = "\x1b]0;title\x07\x1b[31mred\x1b[2J\x9b31m\u202e<script>alert(1)</script>\x00\x08"
    print(json.dumps({"progress": 0.5, "stage": evil}), flush=True)
    time.sleep(0.3)
    print(evil, flush=True)
    os._exit(1)


def hide(seconds: str) -> None:
    """Puts a secret wherever it may, waits, and tells whether somebody disturbed it."""
    for folder in ("/out", "/tmp", "/dev/shm"):
        Path(folder, MARKER).write_text(MARKER)
    segment = ctypes.CDLL(None).shmget(0x5EC7, 4096, 0o1666)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{MARKER}")
        listener.listen()
        listener.settimeout(float(seconds))
        print("hidden", segment >= 0, flush=True)
        try:
            listener.accept()
            print("found", flush=True)
        except TimeoutError:
            print("undisturbed", flush=True)


def seek() -> None:
    """Looks for what `hide` has hidden in the run beside, and tries to end it."""
    seen = []
    for folder, _, names in os.walk("/", onerror=lambda _: None):
        if not folder.startswith(("/proc", "/sys")):
            seen += [f"{folder}/{name}" for name in names if MARKER in name]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            seen += [f"{pid}: {name}" for name in os.listdir(Path("/proc", pid, "root", "out")) if MARKER in name]
    with socket.socket(socket.AF_UNIX) as link:
        abstract = link.connect_ex(f"\0{MARKER}")
    try:
        os.kill(-1, signal.SIGKILL)
        killed = "somebody"
    except OSError as error:
        killed = str(error.errno)
    shared = ctypes.CDLL(None).shmget(0x5EC7, 4096, 0)
    own_map = Path("/proc/self/uid_map").read_text().split()
    print(
        json.dumps({"seen": seen, "abstract": abstract, "killed": killed, "shared": shared, "map": own_map}), flush=True
    )


def turncoat(target: str) -> None:
    """A server that is well while it is asked for its health; then a link to another's socket is in its place."""
    path = os.environ["PALIMPSEST_SOCKET"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o777)
        listener.listen()
        link, _ = listener.accept()
        peer = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        print("peer", *(int.from_bytes(peer[at : at + 4], "little") for at in (0, 4, 8)), flush=True)
        _, fds, _, _ = socket.recv_fds(link, 65_536, 16)
        print("descriptors", len(fds), flush=True)
        os.unlink(path)
        os.symlink(target, path)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        link.close()
        time.sleep(20)


PROGRAMS = (
    bomb, fill, inodes, memory_file, shared_memory, pipes, flood, survivor, pipe_as_result, sockets, forge, speak,
    hide, seek, turncoat,
)  # fmt: skip
