"""Looks through the layers of an image before anything is unpacked: hashes, counts and names, within fixed bounds."""

from __future__ import annotations

import hashlib
import posixpath
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from evaluator.sandbox.admission import ImageRefused, max_image_bytes, too_large
from evaluator.sandbox.images.tar_stream import Member, TarError, members, shown

#: Files, folders and links of an image together. A large image with CUDA and conda has about 300,000.
MAX_ENTRIES = 500_000
CHECK_S = 600.0

_CHUNK = 1 << 20
_RAW_CHUNK = 1 << 16
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BLOCK = 4096


@dataclass(frozen=True)
class Blob:
    """Bytes of a file that stand for themselves: a layer or a configuration. `digest` is what they must hash to."""

    path: Path
    offset: int
    size: int
    digest: str

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, a megabyte at a time."""
        left = self.size
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while left and (data := file.read(min(_CHUNK, left))):
                left -= len(data)
                yield data

    def hashed(self) -> str:
        """What its bytes hash to."""
        found = hashlib.sha256()
        for piece in self.pieces():
            found.update(piece)
        return f"sha256:{found.hexdigest()}"

    def is_gzip(self) -> bool:
        return next(self.pieces(), b"").startswith(_GZIP)

    def read(self, limit: int, field_name: str) -> bytes:
        """All bytes. Raises `ImageRefused` when they are over `limit` or not what their digest says."""
        if self.size > limit:
            raise ImageRefused(
                field_name, f"{self.size} bytes", f"is over {limit} bytes", "leave out labels and history, build again"
            )
        data = b"".join(self.pieces())
        digest_check(field_name, self.digest, hashlib.sha256(data).hexdigest())
        return data


def digest_check(field_name: str, wanted: str, found_hex: str) -> None:
    """Raise `ImageRefused` unless both are the same."""
    if wanted != f"sha256:{found_hex}":
        problem = f"is damaged: its bytes hash to sha256:{found_hex}"
        raise ImageRefused(field_name, wanted, problem, "save the image again, and send it again")


@dataclass
class Budget:
    """What all layers of one image may use together; counted down while they are read."""

    bytes_left: int = field(default_factory=max_image_bytes)
    entries_left: int = MAX_ENTRIES
    deadline: float = field(default_factory=lambda: time.monotonic() + CHECK_S)

    def spend(self, unpacked: int) -> None:
        """Take `unpacked` bytes off. Raises `ImageRefused` over the size or the time."""
        self.bytes_left -= unpacked
        if self.bytes_left < 0:
            raise ImageRefused(**too_large(max_image_bytes() - self.bytes_left))
        self.time_check()

    def entries(self, count: int) -> None:
        """Take `count` entries off."""
        self.entries_left -= count
        if self.entries_left < 0:
            raise ImageRefused(
                "entries",
                f"over {MAX_ENTRIES}",
                f"is over the cap of {MAX_ENTRIES} files, folders and links",
                "leave out caches and test data, or pack small files together",
            )

    def time_check(self) -> None:
        if time.monotonic() > self.deadline:
            raise ImageRefused(
                "image",
                f"{CHECK_S:g} s",
                "took longer to look through than that",
                "make it smaller, and compress it as one gzip stream",
            )


@dataclass(frozen=True)
class LayerFacts:
    """What a look through one layer found. `disk_bytes`: what it will take up, file by file."""

    diff_id: str
    unpacked_bytes: int
    disk_bytes: int
    entries: int


class _Unpacking:
    """A blob as the tar inside it, decompressed piece by piece; both hashes are taken on the way."""

    def __init__(self, file: BinaryIO, blob: Blob, budget: Budget) -> None:
        self.position = 0
        self.raw_hash, self.tar_hash = hashlib.sha256(), hashlib.sha256()
        self._file, self._left, self._budget = file, blob.size, budget
        file.seek(blob.offset)
        self._raw = self._next_raw()
        if self._raw.startswith(_ZSTD):
            raise TarError("it is compressed with zstd, which is not read here: save the image with gzip")
        self._inflate = zlib.decompressobj(wbits=31) if self._raw.startswith(_GZIP) else None
        self._ready, self._at = b"", 0

    def _next_raw(self) -> bytes:
        data = self._file.read(min(_RAW_CHUNK, self._left))
        self._left -= len(data)
        self.raw_hash.update(data)
        return data

    def _next(self) -> bytes:
        """The next piece of the tar, at most a megabyte; empty at the end."""
        while True:
            self._budget.time_check()
            if not self._raw:
                self._raw = self._next_raw()
            if self._inflate is None:
                data, self._raw = self._raw, b""
            elif not self._raw:
                if not self._inflate.eof:
                    raise TarError("its compressed data end too early")
                data = b""
            else:
                if self._inflate.eof:  # a gzip file may be several, one after the other
                    self._inflate = zlib.decompressobj(wbits=31)
                data = self._inflate.decompress(self._raw, _CHUNK)
                self._raw = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
                if not data and (self._raw or self._left or not self._inflate.eof):
                    continue
            self.tar_hash.update(data)
            self._budget.spend(len(data))
            return data

    def read(self, size: int) -> bytes:
        if self._at + size <= len(self._ready):
            data = self._ready[self._at : self._at + size]
            self._at += size
            self.position += size
            return data
        parts, missing = [self._ready[self._at :]], size - (len(self._ready) - self._at)
        self._ready, self._at = b"", 0
        while missing > 0 and (piece := self._next()):
            parts.append(piece[:missing])
            if len(piece) > missing:
                self._ready, self._at = piece, missing
            missing -= len(piece)
        data = b"".join(parts)
        self.position += len(data)
        return data

    def skip(self, size: int) -> None:
        while size > 0:
            inside = min(size, len(self._ready) - self._at)
            self._at += inside
            self.position += inside
            size -= inside
            if size > 0:
                self._ready, self._at = self._next(), 0
                if not self._ready:
                    raise TarError("it ends in the middle of a file")


def layer_check(blob: Blob, number: int, diff_id: str, budget: Budget) -> LayerFacts:
    """Read one layer to its end. Raises `ImageRefused` on the first thing that is not allowed; names the layer.

    Checked: the digest of the blob and of the tar inside it, every member's kind, name and target, and `budget`.
    """
    name = f"layers[{number}]"
    try:
        with blob.path.open("rb") as file:
            source = _Unpacking(file, blob, budget)
            entries = disk_bytes = 0
            for member in members(source):
                if wrong := _member_wrong(member):
                    raise TarError(f"`{shown(member.name)}` {wrong}")
                entries += 1
                disk_bytes += _BLOCK + member.size + -member.size % _BLOCK
                budget.entries(1)
    except (TarError, zlib.error) as error:
        problem = f"cannot be taken: {error}" if isinstance(error, TarError) else f"is damaged: {error}"
        raise ImageRefused(name, blob.digest, problem, "build and save the image again") from None
    digest_check(name, blob.digest, source.raw_hash.hexdigest())
    digest_check(f"rootfs.diff_ids[{number}]", diff_id, source.tar_hash.hexdigest())
    return LayerFacts(diff_id, source.position, disk_bytes, entries)


def _member_wrong(member: Member) -> str:
    """Why a member of a layer is refused, or nothing. An absolute link is fine: it starts at the image's root."""
    if member.name in ("/", ".", "./"):
        return "" if member.kind == "folder" else "is the root, and not a folder"
    if member.name.startswith("/"):
        return "has an absolute name"
    if ".." in member.name.split("/"):
        return "has a name that leads out of the image"
    if member.kind == "device":
        return "is a device"
    if member.kind == "hard link" and ".." in member.target.split("/"):
        return f"is a hard link to `{shown(member.target)}`, which leads out of the image"
    if member.kind == "link" and not member.target.startswith("/"):
        folder = posixpath.dirname(member.name)
        if posixpath.normpath(posixpath.join(folder, member.target)).split("/")[0] == "..":
            return f"is a link to `{shown(member.target)}`, which leads out of the image"
    return ""
