"""Benchmark releases, known to the site by their public cards only."""
