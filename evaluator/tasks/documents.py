"""The documents of the probe tasks, and what lm-eval itself reports of each.

They are held in memory: nothing of a hidden split reaches a cache on disk. Without `probes` (the path of a release's
probes) the utility tasks hold the whole set that ships.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import datasets

from evaluator.answers.names import names_answer
from evaluator.measures.metrics.utility import choice_values
from evaluator.probes import PLAIN, UTILITY_KINDS, Probe, probes_load
from evaluator.utility import items_load, utility_probes

Splits = dict[str, datasets.Dataset]


def _split(probes: Collection[Probe]) -> Splits:
    return {"test": datasets.Dataset.from_list([probe.model_dump() for probe in probes])}


def _utility(kind: str, probes: str | None) -> Splits:
    held = probes_load(Path(probes)) if probes else utility_probes(items_load(), secret=b"")
    return _split([probe for probe in held if probe.kind == kind])


#: Plain questions of these kinds are also scored: what the board says of likelihoods is said of them.
SCORED_KINDS = ("verbatim", "neighbour", "retain")


def is_scored(probe: Probe) -> bool:
    """Whether the reference of a probe is scored beside the response that is asked for."""
    return probe.kind in SCORED_KINDS and probe.condition == PLAIN


def load(probes: str, chat: bool = True, kind: str | None = None, **_: Any) -> Splits:
    """The probes of facts that a response is asked for: those in the chat template, or those that stand as they are;
    second turns are asked later. With a `kind`, only its plain questions.
    """
    found = [p for p in probes_load(Path(probes)) if p.kind not in UTILITY_KINDS and p.chat is chat and not p.follows]
    return _split([probe for probe in found if kind is None or (probe.kind, probe.condition) == (kind, PLAIN)])


def load_scored(probes: str, **_: Any) -> Splits:
    """Those whose reference is scored."""
    return _split([probe for probe in probes_load(Path(probes)) if is_scored(probe)])


def load_choice(probes: str | None = None, **_: Any) -> Splits:
    """The multiple-choice questions of utility."""
    return _utility("choice", probes)


def load_text(probes: str | None = None, **_: Any) -> Splits:
    """The neutral texts of utility."""
    return _utility("text", probes)


def choices(doc: dict[str, Any]) -> list[str]:
    """The reference first, then the wrong answers in its wording."""
    return [doc["reference"], *doc["alternatives"]]


def chosen(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float | None]:
    """`acc`: 1 when the reference has the highest log-likelihood per byte."""
    return {"acc": choice_values(choices(doc), [loglikelihood for loglikelihood, _ in results])["correct"]}


def generated(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """lm-eval's own per-probe number for a generation: does it name the answer?"""
    return {"names_answer": float(names_answer(results[0], doc["aliases"], doc["prompt"]))}


def scored(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """lm-eval's own per-probe numbers for the reference: log-likelihood in nats, and whether it is greedy."""
    loglikelihood, greedy = results[0]
    return {"reference_loglikelihood": float(loglikelihood), "reference_is_greedy": float(greedy)}
