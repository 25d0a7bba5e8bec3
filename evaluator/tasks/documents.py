"""The documents of the probe tasks, and what lm-eval itself reports of each."""

from __future__ import annotations

from typing import Any

import datasets

from evaluator.metrics.answer import names_answer
from evaluator.probes import probes_load


def load(probes: str, **_: Any) -> dict[str, datasets.Dataset]:
    """The probes of a release as an in-memory `test` split: nothing of a hidden split reaches a cache on disk."""
    from pathlib import Path

    return {"test": datasets.Dataset.from_list([probe.model_dump() for probe in probes_load(Path(probes))])}


def generated(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """lm-eval's own per-probe number for a generation: does it name the answer?"""
    return {"names_answer": float(names_answer(results[0], doc["aliases"], doc["prompt"]))}


def scored(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """lm-eval's own per-probe numbers for the reference: log-likelihood in nats, and whether it is greedy."""
    loglikelihood, greedy = results[0]
    return {"reference_loglikelihood": float(loglikelihood), "reference_is_greedy": float(greedy)}
