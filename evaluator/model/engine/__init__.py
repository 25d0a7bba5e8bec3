"""The engine: lm-eval's `LM` interface over any model under test, keeping the primitives that metrics are made of."""
