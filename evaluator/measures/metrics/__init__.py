"""Metrics: pure functions from stored primitives to values; nothing here runs a model."""
