"""Reads of trace files: whole, one page of rows, or as JSON lines."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.core.files import File
from django.core.files.storage import default_storage

from leaderboard.traces.models import TraceFile

#: Rows that are decoded at a time: what one page costs in memory, whatever the size of the trace.
_BATCH_ROWS = 500


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


def trace_ranked(trace: TraceFile) -> File[bytes]:
    """What a ranking is made from: the sealed trace of a hidden run, which the evaluator alone can open, else the
    trace that everybody reads. The caller closes it.
    """
    return default_storage.open(trace.sealed_path if trace.redacted and trace.sealed_path else trace.path, "rb")


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
        known = set(file.schema_arrow.names)
        asked = {name: wanted for name, wanted in (marks or {}).items() if name in known}
        sought = ("prompt", "response") if search and not trace.redacted else ()
        table = file.read(columns=["kind", *asked, *sought])
        kinds = sorted(set(table.column("kind").to_pylist()))
        mask = pc.equal(table.column("kind"), kind) if kind else pa.repeat(True, table.num_rows)
        for name, wanted in asked.items():
            yes = pc.greater_equal(pc.cast(table.column(name), pa.float64()), 0.5)
            mask = pc.and_(mask, yes if wanted else pc.invert(yes))
        if sought:
            hits = [pc.match_substring(table.column(name), search, ignore_case=True) for name in sought]
            mask = pc.and_(mask, pc.or_(*[pc.fill_null(hit, False) for hit in hits]))
        positions = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
        narrow = [
            field.name for field in file.schema_arrow if not pa.types.is_list(field.type) or field.name == "aliases"
        ]
        rows = _rows_at(file, positions[offset : offset + limit], columns=narrow)
    return TracePage(rows, len(positions), offset, kinds)


def trace_row(trace: TraceFile, *, position: int) -> dict[str, Any] | None:
    """Every column of one row (0-based), or None past the end."""
    with trace_open(trace) as handle:
        file = pq.ParquetFile(handle)
        rows = _rows_at(file, [position], columns=file.schema_arrow.names) if position < file.metadata.num_rows else []
    return rows[0] if rows else None


def _rows_at(file: pq.ParquetFile, positions: Sequence[int], *, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows at ascending `positions`: only the row groups that hold them are read, batch by batch, no further."""
    found: list[dict[str, Any]] = []
    start = 0
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        inside = [position - start for position in positions if start <= position < start + size]
        at = 0
        batches = file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=list(columns)) if inside else ()
        for batch in batches:
            found += batch.take(pa.array([i - at for i in inside if at <= i < at + len(batch)], pa.int64())).to_pylist()
            at += len(batch)
            if at > inside[-1]:
                break
        start += size
    return found


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
