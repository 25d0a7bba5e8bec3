"""Trace files: one record a probe, stored with their hash, redacted for hidden splits."""
