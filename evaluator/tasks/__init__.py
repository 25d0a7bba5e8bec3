"""lm-eval tasks over probes: two that ask for facts, two for utility."""
