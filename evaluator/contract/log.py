"""The log of a run: its end is kept, and every byte of it has one place in all that was ever written.

A line `[the first N bytes of output are not kept]` at the beginning of the file, or of a part of it below a title, is a
gap of N bytes and counts for no byte itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_GAP = re.compile(
    rb"(?:\A|(?P<title>(?:\A|(?<=\n))--- [a-z]{1,20} ---\n))"
    rb"\[the first (?P<bytes>[0-9]{1,15}) bytes of output are not kept\]\n"
)
_GAP_MAX = 70  # bytes of such a line
_TITLE_MAX = 32  # bytes of a title


def log_gap(size: int) -> str:
    """The line for what is not kept of `size` bytes; empty for none."""
    return f"[the first {size} bytes of output are not kept]\n" if size else ""


def log_title(title: str) -> str:
    """The line above a part of the log: small letters."""
    return f"--- {title} ---\n"


def log_read(data: bytes, offset: int, limit: int) -> tuple[str, int]:
    """Up to `limit` bytes of the log from the `offset`th byte that was ever written on, and the offset to go on from.

    A line says what is not kept. An offset beyond the end is of an earlier attempt's log: this one is read from
    its beginning.
    """
    pieces = list(_pieces(data))
    end = pieces[-1][0] + len(pieces[-1][1]) if pieces else 0
    if not end:
        return "", offset
    at = offset if offset <= end else 0
    found = [] if at == offset else ["[the log began anew]\n"]
    for start, piece in pieces:
        if limit <= 0 or start + len(piece) <= at:
            continue
        if start > at:
            found.append(log_gap(start) if not at else f"[{start - at} bytes of output are not kept]\n")
            at = start
        first = at - start
        last = _whole(piece, min(len(piece), first + limit), back=True)
        if last <= first:
            break
        found.append(piece[first:last].decode(errors="replace"))
        at, limit = start + last, limit - (last - first)
    return "".join(found), at


def log_end(data: bytes, limit: int) -> str:
    """The last `limit` bytes at most, in the same form: offsets mean the same in it."""
    pieces = list(_pieces(data))
    left = limit - _GAP_MAX * len(pieces)
    kept: list[tuple[int, bytes]] = []
    for start, piece in reversed(pieces):
        first = _whole(piece, max(0, len(piece) - left))
        if not first or not kept or len(piece) - first > _TITLE_MAX:  # never half a title before a gap
            kept.append((start + first, piece[first:]))
        left -= len(piece)
        if left <= 0:
            break
    text, end = "", 0
    for start, piece in reversed(kept):
        text += log_gap(start - end) + piece.decode(errors="replace")
        end = start + len(piece)
    return text


def _pieces(data: bytes) -> Iterator[tuple[int, bytes]]:
    """What is there without gaps, each piece with its place."""
    place = begin = 0
    for gap in _GAP.finditer(data):
        title = gap["title"] or b""
        piece = data[begin : gap.start()] + title
        if piece:
            yield place, piece
        place, begin = place + len(piece) + int(gap["bytes"]), gap.end()
    if data[begin:]:
        yield place, data[begin:]


def _whole(data: bytes, at: int, *, back: bool = False) -> int:
    """The nearest place from `at` on (or back) that is not within a character."""
    while 0 < at < len(data) and data[at] & 0xC0 == 0x80:
        at += -1 if back else 1
    return at
