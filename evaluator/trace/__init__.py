"""Traces: one record a probe, as Parquet; complete for organisers, redacted for a hidden split's readers."""

from evaluator.trace.table import TRACE_SCHEMA, TraceRow, trace_read, trace_redact, trace_values, trace_write

__all__ = ["TRACE_SCHEMA", "TraceRow", "trace_read", "trace_redact", "trace_values", "trace_write"]
