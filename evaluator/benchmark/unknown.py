"""What the base makes of facts that it does not know: where erasure would come down to."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from evaluator.benchmark.battery import plain_probe
from evaluator.benchmark.catalogue import Benchmark
from evaluator.contract.values import ERASED
from evaluator.home import Home
from evaluator.probes import Fact, keyed_number, probes_write

if TYPE_CHECKING:
    from evaluator.model.engine.lm import EvaluatorLM

#: Facts of a relation that are asked, and the fewest that make a mean of their own.
ASKED, LEAST = 8, 3


def unknown_values(
    home: Home, benchmark: Benchmark, lm: EvaluatorLM, base_sha256: str, forget: Sequence[Fact], secret: bytes
) -> dict[str, Mapping[str, float]]:
    """Of each relation of the forget facts, and of all together under "", the base's mean values (`ERASED`) on facts
    that it does not know. Empty where there are none.
    """
    from evaluator.benchmark.known import KnownTable  # noqa: PLC0415 - loads torch
    from evaluator.tasks.measure import measure  # noqa: PLC0415 - loads torch

    unknown = KnownTable.load(home, benchmark.name, base_sha256).unknown
    own = [fact for fact in benchmark.facts() if fact.key in unknown] or list(benchmark.unknown())
    wanted = {fact.relation for fact in forget}
    ordered = sorted(own, key=lambda fact: keyed_number(secret, "unknown", fact.key))
    chosen = [fact for name in sorted(wanted) for fact in [f for f in ordered if f.relation == name][:ASKED]]
    if not chosen:
        return {}
    probes = [plain_probe(benchmark.relations[fact.relation], fact, secret) for fact in chosen]
    with tempfile.TemporaryDirectory() as folder:
        probes_write(Path(folder) / "probes.jsonl", probes)
        rows = measure(lm, Path(folder) / "probes.jsonl")
    groups: dict[str, list[int]] = {"": list(range(len(chosen)))}
    for place, fact in enumerate(chosen):
        groups.setdefault(fact.relation, []).append(place)
    return {
        name: {value: fmean(float(rows[place][value] or 0.0) for place in places) for value in ERASED}
        for name, places in groups.items()
        if name == "" or len(places) >= LEAST
    }
