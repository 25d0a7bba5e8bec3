"""Puts a trace file into the media storage: new key, hash, read back; the caller commits the pointer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow.parquet as pq
from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

from evaluator.contract.disclosure import SEALED_TRACE, SHOWN_COLUMNS
from leaderboard.traces.models import TraceFile

_CHUNK = 1 << 20


class TraceRefused(ValueError):
    """The evaluator left a trace that must not be stored."""


@dataclass(frozen=True)
class StoredTrace:
    """A trace in the media storage; `size` in bytes. Of a hidden run the sealed one is beside it."""

    path: str
    sha256: str
    size: int
    rows: int
    redacted: bool
    sealed_path: str = ""
    sealed_sha256: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path in (self.path, self.sealed_path) if path)


def trace_store(*, source: Path, run_id: str, fence: int, sealed: Path | None = None) -> StoredTrace:
    """Copy `source` into the storage, and of a hidden run the sealed trace too. Raises `TraceRefused` for a file that
    is too large, is no Parquet, is not sealed or, beside a sealed one, shows more than outcomes; `OSError` when a copy
    does not read back as written.
    """
    for path in (source, *([sealed] if sealed else [])):
        size = path.stat().st_size if path.is_file() else 0
        if size > settings.TRACE_MAX_MB * 1_000_000:
            raise TraceRefused(f"{path.name} has {size / 1e6:.0f} MB; the limit is {settings.TRACE_MAX_MB} MB")
    try:
        rows = _rows(source, must_be_redacted=sealed is not None)
        if sealed is not None and not _is_sealed(sealed):
            raise ValueError("is not sealed")
    except (OSError, ValueError) as error:
        raise TraceRefused(f"{source.name if sealed is None else f'{source.name}, {sealed.name}'}: {error}") from error
    stored, digest = _file_store(source, run_id=run_id, fence=fence)
    trace = StoredTrace(stored, digest, source.stat().st_size, rows, redacted=sealed is not None)
    if sealed is None:
        return trace
    try:
        sealed_path, sealed_sha256 = _file_store(sealed, run_id=run_id, fence=fence)
    except OSError:
        trace_discard(trace)
        raise
    return replace(trace, sealed_path=sealed_path, sealed_sha256=sealed_sha256)


def trace_fields(trace: StoredTrace) -> dict[str, Any]:
    """What the row of a trace file says of it."""
    return asdict(trace)


def _file_store(source: Path, *, run_id: str, fence: int) -> tuple[str, str]:
    """Copy a file into the storage and read it back: its name there, and its SHA-256."""
    with source.open("rb") as handle:
        digest = _sha256(lambda: handle.read(_CHUNK))
        handle.seek(0)
        # The fence makes the key new for every attempt, so a late writer can never replace a committed file.
        name = f"{fence}-{digest[:16]}"
        try:
            path = default_storage.save(f"traces/{run_id}/{name}{source.suffix}", File(cast(BinaryIO, handle)))
        except OSError:  # a full disk: the storage writes under the final name, and leaves what it had written
            _files_remove(f"traces/{run_id}", lambda found: found.startswith(name))
            raise
    with default_storage.open(path, "rb") as stored:
        if _sha256(lambda: stored.read(_CHUNK)) != digest:
            default_storage.delete(path)
            raise OSError(f"{path} does not read back as it was written")
    return path, digest


def trace_discard(trace: StoredTrace) -> None:
    """Remove a stored trace that no row points to: its run was lost to another worker before the pointer was set."""
    if not TraceFile.objects.filter(path=trace.path).exists():
        for path in trace.paths:
            default_storage.delete(path)


def traces_prune(*, run_id: str, keep: StoredTrace) -> None:
    """Remove what earlier attempts at a run stored, or half stored, before they died."""
    kept = {path.rpartition("/")[2] for path in keep.paths}
    _files_remove(f"traces/{run_id}", lambda name: name not in kept)


def _files_remove(folder: str, wanted: Callable[[str], bool]) -> None:
    try:
        for name in default_storage.listdir(folder)[1]:
            if wanted(name):
                default_storage.delete(f"{folder}/{name}")
    except OSError:  # what is left costs room only
        pass


def _is_sealed(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(SEALED_TRACE)) == SEALED_TRACE


def _rows(source: Path, *, must_be_redacted: bool) -> int:
    file = pq.ParquetFile(source)
    if must_be_redacted:
        names = [name for name in file.schema_arrow.names if name not in SHOWN_COLUMNS]
        for batch in file.iter_batches(columns=names):
            for name, column in zip(names, batch.columns, strict=True):
                if column.null_count != len(column):
                    raise ValueError(f"column {name} is not withheld in the trace of a hidden split")
    return int(file.metadata.num_rows)


def _sha256(read: Callable[[], bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := read():
        digest.update(chunk)
    return digest.hexdigest()
