"""Benchmarks: the evaluator beside the field's own tools, on this machine, interleaved, parity first."""
