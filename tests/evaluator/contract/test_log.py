"""Whatever a log no longer keeps, an offset means the same byte of all that was ever written."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.contract import log_end, log_gap, log_read, log_title
from evaluator.sandbox.output import KEPT_BYTES, Output


def test_a_reader_who_follows_a_long_log_reads_every_byte_once(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    wanted, read, at = "", "", 0
    for after in ("", "serve"):
        output = Output(log, after=after)
        wanted += f"\n{log_title('serve')}" if after else ""
        for number in range(50):
            text = f"line {number} of {after or 'unlearn'}: " + "é" * 4_000 + ("" if number == 49 else "\n")
            wanted += text
            data = text.encode()
            output.feed(1, data[:4_001])  # within a character
            output.feed(1, data[4_001:].replace(b"\n", b"\r\n"))
            output._write()
            while (part := log_read(log.read_bytes(), at, 10_001))[0]:
                read, at = read + part[0], part[1]
        output.close()
    while (part := log_read(log.read_bytes(), at, 10_001))[0]:
        read, at = read + part[0], part[1]
    assert read == wanted
    assert at == len(wanted.encode())
    end = log_end(log.read_bytes(), KEPT_BYTES).encode()
    assert len(end) <= KEPT_BYTES
    text, following = log_read(end, at - 1_001, KEPT_BYTES)
    assert following == at
    assert wanted.endswith(text.lstrip("\ufffd"))


def test_a_reader_who_comes_late_is_told_what_is_not_kept() -> None:
    data = (log_gap(1_000) + "abc\n" + log_title("serve") + log_gap(50) + "def").encode()
    end = 1_000 + len("abc\n--- serve ---\n") + 50 + 3
    assert log_read(data, 0, 100) == (
        "[the first 1000 bytes of output are not kept]\nabc\n--- serve ---\n[50 bytes of output are not kept]\ndef",
        end,
    )
    assert log_read(data, 990, 2) == ("[10 bytes of output are not kept]\nab", 1_002)
    assert log_read(data, end, 100) == ("", end)
    assert log_read(data, end + 1, 4) == (
        "[the log began anew]\n[the first 1000 bytes of output are not kept]\nabc\n",
        1_004,
    )
    assert log_read(b"", 77, 100) == ("", 77)


@pytest.mark.parametrize("limit", range(150, 400, 7))
def test_the_end_of_a_log_means_the_same_offsets(limit: int) -> None:
    data = (log_gap(1_000) + "a" * 70 + "\n" + log_title("serve") + log_gap(50) + "é" * 100).encode()
    end = log_end(data, limit)
    assert len(end.encode()) <= limit
    whole = 1_000 + 71 + 14 + 50 + 200
    assert log_read(end.encode(), 0, 1_000)[1] == whole
    for at in range(whole - 60, whole, 2):
        if at >= whole - (limit - 142):
            assert log_read(end.encode(), at, 1_000) == log_read(data, at, 1_000)


def test_what_a_method_prints_of_gaps_is_text() -> None:
    data = b"x\n" + log_gap(5).encode() + b"y"
    assert log_read(data, 0, 100) == (data.decode(), len(data))
