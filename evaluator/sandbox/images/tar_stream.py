"""Reads a tar forward only and strictly: what two readers could understand differently is refused, never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

BLOCK = 512
#: Long names and extended headers are read into memory, so they are small.
_MAX_HEADER_BYTES = 1 << 20
_MAX_NAME_BYTES = 4096

Kind = Literal["file", "folder", "link", "hard link", "device", "pipe"]

_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"1": "hard link",
    b"2": "link",
    b"3": "device",
    b"4": "device",
    b"5": "folder",
    b"6": "pipe",
}
_POSIX, _GNU = b"ustar\x0000", b"ustar  \x00"
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ")


class TarError(ValueError):
    """Why a tar is not read on; the sentence names the member."""


class Source(Protocol):
    """Bytes that are read once, forward."""

    position: int

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or fewer at the end."""
        ...

    def skip(self, size: int) -> None:
        """Pass over `size` bytes. Raises `TarError` when there are fewer."""
        ...


@dataclass(frozen=True)
class Member:
    """One entry. `offset`: where its bytes begin in the source."""

    name: str
    kind: Kind
    size: int
    offset: int
    target: str = ""


@dataclass
class _Extended:
    """What headers before a member say about it."""

    name: bytes | None = None
    target: bytes | None = None
    size: int | None = None

    def set(self, key: str, value: bytes | int) -> None:
        if getattr(self, key) is not None:
            raise TarError("a member's name or size is given twice")
        setattr(self, key, value)


def shown(name: str | bytes) -> str:
    """A name out of an archive as it may stand in a message: short, without control characters."""
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
    text = text[:200].encode("unicode_escape").decode()
    return text if len(text) <= 100 else text[:97] + "..."


def members(source: Source) -> Iterator[Member]:
    """Every member in order, with its bytes passed over when the next one is asked for.

    Sparse members, unknown types, wrong checksums, names given twice for one member and anything but zeros after the
    end are refused. Raises `TarError`.
    """
    extended = _Extended()
    while True:
        block = source.read(BLOCK)
        if not block and extended == _Extended():
            return
        if len(block) < BLOCK:
            raise TarError("it ends in the middle of a header")
        if not block.strip(b"\0"):
            if extended != _Extended():
                raise TarError("it ends after a header that announces a member")
            _zeros_to_the_end(source)
            return
        kind_byte, name, target, size = _header(block)
        if kind_byte in b"xgLK" and kind_byte != b"":
            data = _small(source, size, kind_byte, name)
            _extend(extended, kind_byte, data)
            continue
        if kind_byte == b"S":
            raise TarError(f"`{shown(name)}` is a sparse file")
        if kind_byte not in _KINDS:
            raise TarError(f"`{shown(name)}` is of the unknown type {kind_byte!r}")
        name = name if extended.name is None else extended.name
        target = target if extended.target is None else extended.target
        size = size if extended.size is None else extended.size
        kind = _KINDS[kind_byte]
        if kind == "file" and name.endswith(b"/"):
            kind = "folder"
        if kind != "file" and size:
            raise TarError(f"`{shown(name)}` is a {kind} with {size} bytes")
        extended = _Extended()
        start = source.position
        yield Member(_text(name), kind, size, start, _text(target) if kind in ("link", "hard link") else "")
        source.skip(start + size + -size % BLOCK - source.position)


def _header(block: bytes) -> tuple[bytes, bytes, bytes, int]:
    """Type, name, target and size of a header block."""
    want = _number(block[148:156])
    if sum(block) - sum(block[148:156]) + 8 * 0x20 != want:
        raise TarError("a header's checksum is wrong: this is not a tar, or it is damaged")
    name, magic = _c_string(block[:100]), block[257:265]
    if magic == _POSIX and (prefix := _c_string(block[345:500])):
        name = prefix + b"/" + name
    elif magic not in (_POSIX, _GNU) and block[257:500].strip(b"\0"):
        raise TarError(f"`{shown(name)}` has a header of an unknown format")
    return block[156:157], name, _c_string(block[157:257]), _number(block[124:136])


def _c_string(data: bytes) -> bytes:
    return data.split(b"\0", 1)[0]


def _number(data: bytes) -> int:
    """An octal number, or GNU's base 256 for sizes over 8 GB."""
    if data[0] == 0x80:
        return int.from_bytes(data[1:], "big")
    text = data.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", text):
        raise TarError("a header has a malformed number: this is not a tar, or it is damaged")
    return int(text or b"0", 8)


def _small(source: Source, size: int, kind: bytes, name: bytes) -> bytes:
    limit = _MAX_NAME_BYTES if kind in b"LK" else _MAX_HEADER_BYTES
    if size > limit:
        raise TarError(f"`{shown(name)}` has a header of {size} bytes, over {limit}")
    data = source.read(size + -size % BLOCK)
    if len(data) < size:
        raise TarError("it ends in the middle of a header")
    return data[:size]


def _extend(extended: _Extended, kind: bytes, data: bytes) -> None:
    if kind in b"LK":
        extended.set("name" if kind == b"L" else "target", data.rstrip(b"\0"))
        return
    for key, value in _records(data):
        if key.startswith(b"GNU.sparse."):
            raise TarError("a member is a sparse file")
        if key in (b"path", b"linkpath", b"size"):
            if kind == b"g":
                raise TarError(f"a global header sets `{key.decode()}` for every member")
            if key == b"size":
                if not re.fullmatch(rb"[0-9]{1,18}", value):
                    raise TarError("a size in a header is malformed")
                extended.set("size", int(value))
            else:
                extended.set("name" if key == b"path" else "target", value)


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The `LENGTH KEY=VALUE` lines of an extended header."""
    at = 0
    while at < len(data):
        match = _RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        if match is None or end > len(data) or end <= match.end() or data[end - 1 : end] != b"\n":
            raise TarError("an extended header is malformed")
        key, equals, value = data[match.end() : end - 1].partition(b"=")
        if not equals:
            raise TarError("an extended header is malformed")
        yield key, value
        at = end


def _text(name: bytes) -> str:
    if b"\0" in name or not name or len(name) > _MAX_NAME_BYTES:
        raise TarError(f"`{shown(name)}` is no name: it is empty, too long or holds a zero byte")
    return name.decode("utf-8", "surrogateescape")


def _zeros_to_the_end(source: Source) -> None:
    while data := source.read(1 << 16):
        if data.strip(b"\0"):
            raise TarError("something follows its end")
