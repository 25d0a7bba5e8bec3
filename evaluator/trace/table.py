"""The trace table: schema, writing, reading, and what of it is shown of a hidden run."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evaluator.contract.disclosure import ITEM_NAME, SHOWN_COLUMNS
from evaluator.contract.values import VALUE_NAMES

TRACE_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("subject_key", pa.string()),
        ("kind", pa.string()),
        ("split_role", pa.string()),
        ("relation", pa.string()),
        ("subject", pa.string()),
        ("topic", pa.string()),
        ("prompt", pa.string()),
        ("reference", pa.string()),
        ("response", pa.string()),
        ("base_response", pa.string()),
        ("base_correct", pa.bool_()),
        ("base_logprob", pa.float64()),
        ("aliases", pa.list_(pa.string())),
        ("n_tokens", pa.int32()),
        ("answer_start", pa.int32()),
        ("answer_end", pa.int32()),
        ("logprob_sum", pa.float64()),
        ("token_logprobs", pa.list_(pa.float32())),
        ("token_hits", pa.list_(pa.bool_())),
        ("token_ranks", pa.list_(pa.int32())),
        ("token_means", pa.list_(pa.float32())),
        ("token_variances", pa.list_(pa.float32())),
        ("choices", pa.list_(pa.string())),
        ("choice_logprobs", pa.list_(pa.float64())),
        ("choice_tokens", pa.list_(pa.int32())),
        ("prompt_sha256", pa.string()),
        ("condition", pa.string()),
        *[(name, pa.float64()) for name in VALUE_NAMES],
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
    ]
)
#: What was measured of the reference and of the other choices, and where the answer lies in it.
PRIMITIVE_COLUMNS = (
    "n_tokens",
    "answer_start",
    "answer_end",
    "token_logprobs",
    "token_hits",
    "token_ranks",
    "token_means",
    "token_variances",
    "choices",
    "choice_logprobs",
    "choice_tokens",
)
#: What a reader of a hidden split never sees.
WITHHELD = tuple(name for name in TRACE_SCHEMA.names if name not in SHOWN_COLUMNS)
TraceRow = Mapping[str, Any]
#: The key of a file's metadata by which a fast run says what it is.
_FAST = b"palimpsest.fast"


def trace_write(path: Path, rows: Sequence[TraceRow], *, fast: bool = False) -> None:
    """Write rows atomically as Parquet with zstd, 5,000 rows a group. `fast`: the file says that a fast run left it."""
    schema = TRACE_SCHEMA.with_metadata({_FAST: b"true"}) if fast else TRACE_SCHEMA
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(table, temporary, compression="zstd", row_group_size=5000)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def trace_read(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Every row as a dict, of all columns or of some. Raises `OSError` or `pa.ArrowInvalid` for what is no trace."""
    wanted = None if columns is None else list(columns)
    rows: list[dict[str, Any]] = pq.read_table(path, schema=TRACE_SCHEMA, columns=wanted).to_pylist()
    return rows


def trace_part(source: Path, target: Path, columns: Sequence[str]) -> None:
    """Write some columns of a trace as a file of their own; what was left out reads as None."""
    pq.write_table(pq.read_table(source, schema=TRACE_SCHEMA, columns=list(columns)), target, compression="zstd")


def is_fast(path: Path) -> bool:
    """Whether a fast run left this trace. Raises `OSError` or `pa.ArrowInvalid` for what is no trace."""
    return _FAST in (pq.read_schema(path).metadata or {})


def trace_redact(rows: Sequence[TraceRow], key: bytes, *, run_id: str) -> list[dict[str, Any]]:
    """What may be shown of a hidden run: outcomes, under names and in an order that no other run has.

    Names follow from `key`, which nobody else knows, the run and the item: to do it again gives the same file.
    """
    redacted = []
    for row in rows:
        name = hmac.digest(key, f"{run_id}\0{row['item_id']}".encode(), hashlib.sha256).hex()[:12]
        shown = {name: row[name] if name in SHOWN_COLUMNS else None for name in TRACE_SCHEMA.names}
        redacted.append(shown | {ITEM_NAME: f"i{name}"})
    return sorted(redacted, key=lambda row: str(row[ITEM_NAME]))


def is_withheld(rows: Sequence[TraceRow]) -> bool:
    """Whether these are the outcomes of a hidden run, and nothing that metrics could be recomputed from."""
    return bool(rows) and all(row["subject_key"] is None for row in rows)


def trace_values(rows: Sequence[TraceRow]) -> dict[str, list[float]]:
    """The value columns as lists of floats, NaN where a value was not run."""
    return {name: [float("nan") if row[name] is None else float(row[name]) for row in rows] for name in VALUE_NAMES}
