"""The engine: lm-eval's `LM` interface over any subject, keeping the primitives that metrics are made of."""
