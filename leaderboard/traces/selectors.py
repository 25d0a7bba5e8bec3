"""Reads of trace files: whole, one page of rows, or as JSON lines."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.core.files import File
from django.core.files.storage import default_storage

from leaderboard.traces.models import TraceFile

_WIDE_COLUMNS = frozenset({"token_logprobs", "token_hits"})


@dataclass(frozen=True)
class TracePage:
    """Some rows of a trace. `total` counts all rows that match the filter."""

    rows: list[dict[str, Any]]
    total: int
    offset: int
    kinds: list[str]


def trace_open(trace: TraceFile) -> File[bytes]:
    """The stored Parquet file, for streaming; the caller closes it."""
    return default_storage.open(trace.path, "rb")


def trace_page(
    trace: TraceFile,
    *,
    offset: int = 0,
    limit: int = 50,
    kind: str = "",
    search: str = "",
    marks: Mapping[str, bool] | None = None,
) -> TracePage:
    """Rows `offset … offset + limit` of the rows of one probe kind whose prompt or response has `search`.

    `marks` asks for metrics of one probe, such as `{"leak": True}`: true from one half on; a probe on which the metric
    was not run matches neither way.
    """
    with trace_open(trace) as handle:
        file = pq.ParquetFile(handle)
        names = [name for name in file.schema_arrow.names if name not in _WIDE_COLUMNS]
        table = file.read(columns=names)
    kinds = sorted(set(table.column("kind").to_pylist()))
    if kind:
        table = table.filter(pc.field("kind") == kind)
    for name, wanted in (marks or {}).items():
        if name in table.schema.names:
            yes = pc.greater_equal(pc.cast(table.column(name), pa.float64()), 0.5)
            table = table.filter(pc.fill_null(yes if wanted else pc.invert(yes), False))
    if search and not trace.redacted:
        hits = [
            pc.fill_null(pc.match_substring(table.column(name), search, ignore_case=True), False)
            for name in ("prompt", "response")
        ]
        table = table.filter(pc.or_(*hits))
    return TracePage(table.slice(offset, limit).to_pylist(), table.num_rows, offset, kinds)


def trace_row(trace: TraceFile, *, position: int) -> dict[str, Any] | None:
    """Every column of one row (0-based), or None past the end."""
    with trace_open(trace) as handle:
        rows = pq.ParquetFile(handle).read().slice(position, 1).to_pylist()
    return rows[0] if rows else None


def trace_jsonl_gz(trace: TraceFile, *, batch_rows: int = 2000) -> Iterator[bytes]:
    """The trace as gzipped JSON lines, batch by batch, in constant memory."""
    with trace_open(trace) as handle:
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed:
            for batch in pq.ParquetFile(handle).iter_batches(batch_size=batch_rows):
                packed.write(_lines(batch))
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
        yield buffer.getvalue()


def _lines(batch: pa.RecordBatch) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in batch.to_pylist()).encode()
