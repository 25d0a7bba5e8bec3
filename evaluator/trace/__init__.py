"""Traces: one record a probe, as Parquet; complete on open splits, by outcomes on hidden ones, and sealed."""

from evaluator.trace.sealed import SealBroken, is_sealed, trace_seal, trace_unseal
from evaluator.trace.table import (
    TRACE_SCHEMA,
    TraceRow,
    is_fast,
    is_withheld,
    trace_part,
    trace_read,
    trace_redact,
    trace_values,
    trace_write,
)

__all__ = [
    "TRACE_SCHEMA",
    "SealBroken",
    "TraceRow",
    "is_fast",
    "is_sealed",
    "is_withheld",
    "trace_part",
    "trace_read",
    "trace_redact",
    "trace_seal",
    "trace_unseal",
    "trace_values",
    "trace_write",
]
