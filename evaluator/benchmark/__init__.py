"""Benchmarks: from facts about the world to a frozen release with forget requests and probes."""
