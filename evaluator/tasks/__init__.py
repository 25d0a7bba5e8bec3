"""lm-eval tasks over the probes of a release: one that generates, one that scores the reference."""
