"""A part of a release's probes: the same for every method, with something of every kind, attack and request."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence

from evaluator.probes.probe import PLAIN, Probe

#: Of every kind and attack, this share is kept, rounded up.
FAST_SHARE = 1 / 3


def probes_sampled(probes: Sequence[Probe], share: float = FAST_SHARE) -> list[Probe]:
    """The sample, in the release's order.

    Every request keeps its plain question. Of all else, probes of one kind under one condition, known to the base or
    not, make a stratum, which keeps those whose names have the smallest hashes; and a second turn keeps what it
    follows. Raises `ValueError` for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: is {share:g}; give one above 0 and at most 1")
    strata: dict[tuple[str, str, bool], list[Probe]] = defaultdict(list)
    kept: set[str] = set()
    for probe in probes:
        if (probe.kind, probe.condition) == ("verbatim", PLAIN):
            kept.add(probe.item_id)
        else:
            strata[probe.kind, probe.condition, probe.base_correct].append(probe)
    for stratum in strata.values():
        drawn = sorted(stratum, key=lambda probe: _place(probe.item_id))[: math.ceil(share * len(stratum))]
        kept |= {probe.item_id for probe in drawn}
    kept |= {probe.follows for probe in probes if probe.follows and probe.item_id in kept}
    return [probe for probe in probes if probe.item_id in kept]


def _place(item_id: str) -> str:
    return hashlib.sha256(item_id.encode()).hexdigest()
