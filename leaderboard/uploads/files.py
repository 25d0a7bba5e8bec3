"""The files of uploads: a part that only grows, then one file under the hash of its bytes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

_GROUP_ENTERS = 0o750  # the site, and those who back it up


class OffsetMoved(Exception):
    """The part does not end where the writer thinks; `length` is where it does."""

    def __init__(self, length: int) -> None:
        super().__init__(f"the part has {length} bytes")
        self.length = length


class PartBusy(Exception):
    """Somebody else holds the part."""


def uploads_folder() -> Path:
    """`$PALIMPSEST_HOME/uploads`, made when it is not there; the parts are in `incoming/`."""
    home = Path(settings.PALIMPSEST_HOME)
    folder = home / "uploads"
    if not (folder / ".lock").exists():
        for path in (folder, folder / "incoming"):
            path.mkdir(mode=_GROUP_ENTERS, parents=True, exist_ok=True)
        (folder / ".lock").touch(mode=0o600)
        if os.geteuid() == 0:  # a worker that is root came first: the web server's user must be able to write here
            for path in (folder, folder / "incoming", folder / ".lock"):
                os.chown(path, home.stat().st_uid, home.stat().st_gid)
    return folder


def part_path(upload_id: str) -> Path:
    return uploads_folder() / "incoming" / upload_id


def archive_path(sha256: str) -> Path:
    """Where a finished archive lies: the evaluator looks for it here."""
    return uploads_folder() / f"{sha256}.tar"


@contextmanager
def folder_lock() -> Iterator[None]:
    """Held while it is decided which finished files exist. It lies in the folder: who shares that shares the lock."""
    descriptor = os.open(uploads_folder() / ".lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def part_create(upload_id: str) -> None:
    os.close(os.open(part_path(upload_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))


def part_length(upload_id: str) -> int | None:
    """Bytes of the part; None when there is none. It is opened, for a network file system is only then asked anew."""
    try:
        with part_path(upload_id).open("rb") as handle:
            return os.fstat(handle.fileno()).st_size
    except FileNotFoundError:
        return None


def part_append(upload_id: str, at: int, block: bytes) -> int:
    """Write `block` at the end of the part, which must be `at`; returns the new end. Whole or not at all.

    The lock is held for one block and never while a client is waited for: of two writers one finds that the end has
    moved. Raises `OffsetMoved`, `FileNotFoundError`, `OSError` (the disk is full).
    """
    descriptor = os.open(part_path(upload_id), os.O_WRONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        status = os.fstat(descriptor)
        if status.st_nlink == 0:
            raise FileNotFoundError(upload_id)  # removed while this waited
        if status.st_size != at:
            raise OffsetMoved(status.st_size)
        try:
            written = 0
            while written < len(block):
                written += os.pwrite(descriptor, block[written:], at + written)
        except OSError:
            os.ftruncate(descriptor, at)
            raise
    finally:
        os.close(descriptor)
    return at + len(block)


def part_head(upload_id: str, length: int) -> bytes:
    with part_path(upload_id).open("rb") as handle:
        return handle.read(length)


def part_sync(upload_id: str) -> None:
    """Returns when what was written is on the disk: only then it may be acknowledged."""
    descriptor = os.open(part_path(upload_id), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def part_hold(upload_id: str) -> Iterator[str]:
    """Hold a whole part and yield its SHA-256. Raises `PartBusy`, `FileNotFoundError`."""
    with part_path(upload_id).open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PartBusy(upload_id) from None
        yield hashlib.file_digest(handle, "sha256").hexdigest()


def part_publish(upload_id: str, sha256: str) -> None:
    """Give the part its final name; a file that has it already has the same bytes. Under `folder_lock`."""
    source, target = part_path(upload_id), archive_path(sha256)
    source.chmod(0o644)
    source.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def part_remove(upload_id: str) -> None:
    part_path(upload_id).unlink(missing_ok=True)


def archive_remove(sha256: str) -> None:
    """Under `folder_lock`."""
    archive_path(sha256).unlink(missing_ok=True)


def free_bytes() -> int:
    """What is left on the disk of the uploads."""
    return shutil.disk_usage(uploads_folder()).free
