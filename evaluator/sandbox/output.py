"""What a method prints: progress lines, and the last 64 KiB for people; however much it prints, no more is kept."""

from __future__ import annotations

import json
import math
import os
import re
import selectors
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from evaluator.contract import log_gap, log_title
from evaluator.plain import plain_text
from evaluator.sandbox.protocol import ProgressCallback, Progressed, ignore_progress

KEPT_BYTES = 64 * 1024
LINE_BYTES = 4096
TICK_S = 0.05
_PROGRESS_EVERY_S = 0.1
_LOG_EVERY_S = 1.0
#: So much of the last output goes into the reason of a failure.
DETAIL_BYTES = 4096
#: What may go on in the next bytes, and waits for them: a sequence for a terminal, a line's end, a character.
_UNFINISHED = re.compile(rb"(?:\x1b[^\n]{0,64}|\r|[\xc2-\xf4][\x80-\xbf]{0,2})\Z")


class Output:
    """Collects two streams of one process. Memory: under 300 KiB whatever comes.

    The log counts the bytes of plain text that were ever written, so that a reader can go on where it was: see
    `evaluator.contract.log`. With `after`, a title, what the log holds already stays above it: the server's log follows
    that of unlearning.
    """

    def __init__(self, log: Path, on_progress: ProgressCallback = ignore_progress, *, after: str = "") -> None:
        self.log = log
        self._before = _log_before(log, after) if after else ""
        self.on_progress = on_progress
        self.received = 0
        self._written = 0
        self._unfinished = b""
        self._kept = bytearray()
        self._lines: dict[int, bytearray] = {}
        self._pending: Progressed | None = None
        self._told_at = 0.0
        self._logged_at = 0.0
        self._logged_bytes = -1

    def feed(self, stream: int, data: bytes) -> None:
        """Take what one stream gave. A line longer than `LINE_BYTES` is kept in the tail but cannot be progress."""
        self.received += len(data)
        self._keep(self._unfinished + data)
        *complete, rest = data.split(b"\n")
        line = self._lines.setdefault(stream, bytearray())
        for part in complete:
            if len(line) + len(part) <= LINE_BYTES:
                self._line(bytes(line) + part)
            line.clear()
        line += rest[: LINE_BYTES + 1 - len(line)] if len(line) <= LINE_BYTES else b""

    def tick(self) -> None:
        """Pass on the newest progress and refresh the log file, each at most so often."""
        now = time.monotonic()
        if self._pending is not None and now - self._told_at >= _PROGRESS_EVERY_S:
            newest, self._pending, self._told_at = self._pending, None, now
            self.on_progress(newest)
        if self.received != self._logged_bytes and now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            self._write()

    def close(self) -> None:
        self._told_at = 0.0
        if self._pending is not None:
            self.on_progress(self._pending)
            self._pending = None
        self._keep(self._unfinished, ended=True)
        self._write()

    def tail(self, size: int = KEPT_BYTES) -> str:
        """The last output as text, without control characters."""
        kept = bytes(self._kept[-min(size, KEPT_BYTES) :]).decode(errors="replace")
        return kept + plain_text(self._unfinished.decode(errors="replace"))

    def _keep(self, data: bytes, *, ended: bool = False) -> None:
        """Add what is finished of `data` as plain text; the rest waits for what comes."""
        found = None if ended else _UNFINISHED.search(data)
        data, self._unfinished = (data[: found.start()], data[found.start() :]) if found else (data, b"")
        text = plain_text(data.decode(errors="replace")).encode()
        self._written += len(text)
        self._kept += text
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]

    def _line(self, line: bytes) -> None:
        # A progress bar on the same stream ends in \r, not in a new line.
        text = line.strip().rsplit(b"\r", 1)[-1].strip()
        if not (text.startswith(b"{") and b'"progress"' in text):
            return
        try:
            value = json.loads(text)
            fraction = value["progress"]
            if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not math.isfinite(fraction):
                return
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):  # a number of 400 digits is no float
            return
        stage = value.get("stage", "")
        clean = plain_text(stage).replace("\n", " ")[:80] if isinstance(stage, str) else ""
        self._pending = Progressed(min(1.0, max(0.0, float(fraction))), clean)

    def _write(self) -> None:
        self._logged_bytes = self.received
        kept = bytes(self._kept[-KEPT_BYTES:])
        while kept and kept[0] & 0xC0 == 0x80:  # the end of a character
            kept = kept[1:]
        partial = self.log.with_name(f".{self.log.name}.partial")
        partial.write_bytes(self._before.encode() + log_gap(self._written - len(kept)).encode() + kept)
        partial.replace(self.log)


def _log_before(log: Path, title: str) -> str:
    """What stands above `title`: of an earlier attempt at the same part, nothing."""
    mark = log_title(title)
    try:
        with log.open("rb") as file:
            text = file.read(2 * KEPT_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""
    kept = text.split(mark, maxsplit=1)[0]
    return f"{kept}{'' if kept.endswith(chr(10)) or not kept else chr(10)}{mark}"


def follow(
    process: subprocess.Popen[bytes],
    output: Output,
    *,
    tick: Callable[[], None],
    deadline: float,
    end: Callable[[], None],
) -> bool:
    """Read a process to its end; call `end` once past `deadline` (monotonic seconds). Whether the deadline was met.

    `tick` is called some 20 times a second. Never blocks on a method that prints too much or nothing.
    """
    in_time = True
    give_up = math.inf
    ending: threading.Thread | None = None
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ)
        next_tick = 0.0
        while selector.get_map():
            for key, _ in selector.select(TICK_S):
                stream_read: IO[bytes] = key.fileobj  # type: ignore[assignment]
                try:
                    data = os.read(stream_read.fileno(), 1 << 16)
                except BlockingIOError:
                    continue
                if data:
                    output.feed(key.fd, data)
                else:
                    selector.unregister(stream_read)
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + TICK_S
                tick()
                output.tick()
            if in_time and now > deadline and process.poll() is None:
                in_time = False
                give_up = now + 20.0
                # Beside the reading: who waits for the end of a flood, and does not drink it, waits five seconds more.
                ending = threading.Thread(target=end)
                ending.start()
            if now > give_up or (process.poll() is not None and not selector.select(0)):
                break  # a child of the process may hold the pipes open for ever
    if ending is not None:
        ending.join()
    try:
        process.wait(20.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    output.close()
    return in_time


def log_path(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def detail(reason: str, output: Output) -> str:
    """A reason with the last output below it."""
    tail = output.tail(DETAIL_BYTES).strip()
    return f"{reason}\n--- last output ---\n{tail}" if tail else f"{reason} (no output)"
