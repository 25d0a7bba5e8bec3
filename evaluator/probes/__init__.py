"""Probes: how a fact becomes the prompts that it is measured with. Seen by no container."""

from evaluator.probes.fact import Fact, Relation
from evaluator.probes.patterns import drawn, keyed_number, pattern_size, pattern_wording
from evaluator.probes.probe import (
    FORGET_KINDS,
    KEPT_KINDS,
    PLAIN,
    UTILITY_KINDS,
    Probe,
    ProbeKind,
    probes_load,
    probes_write,
)
from evaluator.probes.sample import FAST_SHARE, probes_sampled

__all__ = [
    "FAST_SHARE",
    "FORGET_KINDS",
    "KEPT_KINDS",
    "PLAIN",
    "UTILITY_KINDS",
    "Fact",
    "Probe",
    "ProbeKind",
    "Relation",
    "drawn",
    "keyed_number",
    "pattern_size",
    "pattern_wording",
    "probes_load",
    "probes_sampled",
    "probes_write",
]
