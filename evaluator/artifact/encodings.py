"""How a text or its tokens may lie in a file: the byte strings to look for, and what is packed inside a file."""

from __future__ import annotations

import base64
import bz2
import codecs
import json
import lzma
import string
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from ahocorasick_rs import BytesAhoCorasick

#: Shorter byte strings stand in any large file by accident.
LEAST_BYTES = 8
#: So much of one packed piece is unpacked, of so much of the file.
PIECE_BYTES = 4 << 20
_WIDE = ("<u2", ">u2", "<i4", ">i4", "<i8", "<f2", "<f4", "<f8")
_JOINED = (", ", ",", " ", "\n", ",\n", ",\n ", ",\n  ", ",\n    ", ",\n        ")
_LZMA_BYTES = 128 << 20
_BITE = 128
_LOCAL_FILE = 30  # bytes of a zip's local header before its name
#: How packed data begin: deflate at its four levels, gzip, zip, bzip2, xz, Zstandard.
_MAGIC = BytesAhoCorasick(
    [
        *(b"\x78" + level for level in (b"\x01", b"\x5e", b"\x9c", b"\xda")),
        b"\x1f\x8b\x08",
        b"PK\x03\x04",
        b"BZh",
        b"\xfd7zXZ\x00",
        b"\x28\xb5\x2f\xfd",
    ]
)
#: Digits of base64 become A, everything else a blank: a run of them is found fast.
_DIGITS = bytes(
    ord("A") if chr(byte) in f"{string.ascii_letters}{string.digits}+/" else ord(" ") for byte in range(256)
)
_RUN = b"A" * 64


def text_forms(text: str) -> Iterator[bytes]:
    """A text as bytes: plain, in lower case, escaped, turned, wide, as numbers, in base64 and in hexadecimal digits."""
    plain = text.encode()
    forms = [plain, text.lower().encode(), text.upper().encode(), plain[::-1], codecs.encode(text, "rot13").encode()]
    forms.append(json.dumps(text)[1:-1].encode())
    yield from forms
    yield from (text.encode(wide) for wide in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"))
    yield from _numbers(list(plain))
    yield from (plain.hex().encode(), plain.hex().upper().encode())
    for shift in range(3):
        # What comes before shifts the digits; the first and the last depend on their neighbours.
        inner = base64.b64encode(bytes(shift) + plain).rstrip(b"=")[(0, 2, 3)[shift] : -2]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def token_forms(ids: Sequence[int]) -> Iterator[bytes]:
    """Token ids as bytes: little and big endian integers and floats of the usual sizes, and written out."""
    yield from _numbers(list(ids))


def _numbers(numbers: Sequence[int]) -> Iterator[bytes]:
    for kind in _WIDE:
        exact = np.array(numbers, dtype=kind) if max(numbers, default=0) < (1 << 15) or kind[1:] != "f2" else None
        if exact is not None and [int(number) for number in exact] == list(numbers):
            yield exact.tobytes()
    for joint in _JOINED:
        yield joint.join(map(str, numbers)).encode()


class Unpacker:
    """Opens what lies packed in files, `left` bytes of it in all: a bomb costs no more than that."""

    def __init__(self, left: int) -> None:
        self.left = left

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What lies in `data` as deflate, gzip, zip, bzip2, xz, Zstandard and base64, each piece up to a cap."""
        for _, start, _ in _MAGIC.find_matches_as_indexes(data):
            yield from self._taken(_opened(data, start, min(PIECE_BYTES, self.left)))
        digits, start = data.translate(_DIGITS), -1
        while (start := digits.find(_RUN, start + 1)) >= 0:
            end = found if (found := digits.find(b" ", start)) >= 0 else len(digits)
            for begin in range(start, start + 4):  # what stands before may look like digits too, and shift them
                yield from self._taken(base64.b64decode(data[begin : begin + (end - begin) // 4 * 4]))
            start = end

    def _taken(self, piece: bytes) -> Iterator[bytes]:
        if LEAST_BYTES <= len(piece) <= self.left:
            self.left -= len(piece)
            yield piece


def _opened(data: bytes, start: int, cap: int) -> bytes:
    head, packed = data[start : start + 30], memoryview(data)[start : start + PIECE_BYTES]
    if cap <= 0:
        return b""
    try:
        if head.startswith(b"PK"):
            name, extra = (int.from_bytes(head[at : at + 2], "little") for at in (26, 28))
            return _inflated(zlib.decompressobj(-15), packed[_LOCAL_FILE + name + extra :], cap)
        if head.startswith(b"\x28\xb5\x2f\xfd"):
            return _streamed(pa.CompressedInputStream(pa.BufferReader(packed), "zstd"), cap)
        if head.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(packed, cap)
        if head.startswith(b"\xfd7z"):
            return lzma.LZMADecompressor(memlimit=_LZMA_BYTES).decompress(packed, cap)
        return _inflated(zlib.decompressobj(47), packed, cap)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError, pa.ArrowException):
        return b""


def _streamed(stream: pa.NativeFile, cap: int) -> bytes:
    """In small bites: the one that meets what follows the packed data fails, and takes nothing else with it."""
    found: list[bytes] = []
    try:
        while cap > 0 and (bite := stream.read(_BITE)):
            found.append(bite)
            cap -= len(bite)
    except OSError:
        pass
    return b"".join(found)


def _inflated(inflate: zlib._Decompress, packed: memoryview, cap: int) -> bytes:
    # A small bite first: nearly everything that only looks packed ends here.
    begun = inflate.decompress(packed[:512], 4096)
    if not begun:
        return b""
    return begun + inflate.decompress(inflate.unconsumed_tail + bytes(packed[512:]), max(cap - len(begun), 1))
