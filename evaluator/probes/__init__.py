"""Probes: how a fact becomes the prompts that it is measured with. Seen by no container."""

from evaluator.probes.probe import Probe, ProbeKind, probes_load, probes_write

__all__ = ["Probe", "ProbeKind", "probes_load", "probes_write"]
