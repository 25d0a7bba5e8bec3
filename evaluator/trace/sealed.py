"""Sealed traces: the full trace of a hidden run, encrypted, so that a site can keep what it must not read.

AES-256-GCM under the key of the release. A file opens only as the trace of the run and the release that it was sealed
for: one that was changed, cut, or put in another run's place does not open.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from evaluator.contract.disclosure import SEALED_TRACE
from evaluator.home import write_atomically
from evaluator.trace.table import TRACE_SCHEMA, TraceRow

_NONCE_BYTES = 12


class SealBroken(ValueError):
    """A file that is not the sealed trace of this run and release."""


def _bound(run_id: str, content_sha256: str) -> bytes:
    return f"{run_id}\0{content_sha256}".encode()


def trace_seal(path: Path, rows: Sequence[TraceRow], key: bytes, *, run_id: str, content_sha256: str) -> None:
    """Write `rows` atomically under `key` (32 bytes), for this run of the release with this content alone."""
    table, plain = pa.Table.from_pylist([dict(row) for row in rows], schema=TRACE_SCHEMA), io.BytesIO()
    pq.write_table(table, plain, compression="zstd")
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, plain.getvalue(), _bound(run_id, content_sha256))
    write_atomically(path, SEALED_TRACE + nonce + sealed)


def is_sealed(path: Path) -> bool:
    """Whether a file begins as a sealed trace does."""
    with path.open("rb") as stream:
        return stream.read(len(SEALED_TRACE)) == SEALED_TRACE


def trace_unseal(
    path: Path, key: bytes, *, run_id: str, content_sha256: str, columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Every row, of all columns or of some. Raises `SealBroken` naming the run that the file is not the trace of."""
    data = path.read_bytes()
    nonce, sealed = data[len(SEALED_TRACE) : len(SEALED_TRACE) + _NONCE_BYTES], data[len(SEALED_TRACE) + _NONCE_BYTES :]
    try:
        if not data.startswith(SEALED_TRACE):
            raise InvalidTag
        plain = AESGCM(key).decrypt(nonce, sealed, _bound(run_id, content_sha256))
    except (InvalidTag, ValueError):
        raise SealBroken(
            f"trace: {path.name} is not the sealed trace of run {run_id} on this release: it was changed, belongs to "
            "another run, or was sealed with another key; restore the file, or the release's key"
        ) from None
    wanted = None if columns is None else list(columns)
    rows: list[dict[str, Any]] = pq.read_table(pa.BufferReader(plain), schema=TRACE_SCHEMA, columns=wanted).to_pylist()
    return rows
