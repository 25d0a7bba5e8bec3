"""The order of the stages of one run, and nothing else: unlearn, seal, measure, score."""
