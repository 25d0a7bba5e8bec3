"""Probes: how a fact becomes the prompts that it is measured with. Seen by no container."""

from evaluator.probes.probe import FORGET_KINDS, PLAIN, UTILITY_KINDS, Probe, ProbeKind, probes_load, probes_write

__all__ = ["FORGET_KINDS", "PLAIN", "UTILITY_KINDS", "Probe", "ProbeKind", "probes_load", "probes_write"]
