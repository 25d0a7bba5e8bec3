"""What is made of stored primitives: values of a probe, refusals, metrics, statistics. Pure: no model runs here."""
