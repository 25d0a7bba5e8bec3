"""Probes: how a fact becomes the prompts that it is measured with. Seen by no container."""

from evaluator.probes.probe import UTILITY_KINDS, Probe, ProbeKind, probes_load, probes_write

__all__ = ["UTILITY_KINDS", "Probe", "ProbeKind", "probes_load", "probes_write"]
