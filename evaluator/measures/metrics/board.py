"""The board's metrics: weighted means of probe values, and the few numbers made of them.

`MEANS` says which probes are averaged, `METRICS` which columns there are; their formulas, with docstrings that become
the column helps and the methodology page, are in `evaluator.measures.metrics.axes`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from evaluator.contract import MetricInfo
from evaluator.measures.metrics import axes
from evaluator.measures.metrics.axes import Means, harmonic_mean
from evaluator.measures.metrics.deviation import FloatArray

__all__ = ["COSTS", "MEANS", "METRICS", "FloatArray", "Group", "Means", "Metric", "harmonic_mean"]

Group = Literal["overall", "forget", "retain", "refusal", "erasure", "robustness", "utility", "cost"]

#: name -> (column, kinds, only probes that the base answered correctly)
MEANS: Mapping[str, tuple[str, tuple[str, ...], bool]] = {
    "leak_verbatim": ("leak", ("verbatim",), False),
    "leak_paraphrase": ("leak", ("paraphrase",), False),
    "leak_forget": ("leak", ("verbatim", "paraphrase"), False),
    "refusal_forget": ("refusal", ("verbatim", "paraphrase"), False),
    "hallucination_forget": ("hallucination", ("verbatim", "paraphrase"), False),
    "fluency_forget": ("fluency", ("verbatim", "paraphrase"), False),
    "context_forget": ("context", ("verbatim", "paraphrase"), False),
    "policy_forget": ("policy", ("verbatim", "paraphrase"), False),
    "har_forget": ("har", ("verbatim", "paraphrase"), False),
    "rouge_forget": ("rouge_l", ("verbatim",), False),
    "probability_forget": ("answer_probability", ("verbatim",), False),
    "extraction_forget": ("extraction_strength", ("verbatim",), False),
    "truth_forget": ("truth_ratio", ("verbatim",), False),
    "mrr_forget": ("mrr", ("verbatim",), False),
    "memorization_forget": ("exact_memorization", ("verbatim",), False),
    "correct_neighbour": ("correct", ("neighbour",), True),
    "correct_retain": ("correct", ("retain",), True),
    "correct_kept": ("correct", ("neighbour", "retain"), True),
    "refusal_kept": ("refusal", ("neighbour", "retain"), True),
    "rouge_kept": ("rouge_l", ("neighbour", "retain"), True),
    "choice_kept": ("correct", ("choice",), True),
    "choice_correct": ("correct", ("choice",), False),
    "text_gain": ("text_gain", ("text",), False),
    "text_logprob": ("text_logprob", ("text",), False),
}


@dataclass(frozen=True)
class Metric:
    """One column of the board."""

    key: str
    version: int
    label: str
    group: Group
    direction: Literal["up", "down"]
    compute: Callable[[Means], FloatArray]
    headline: bool = False

    def info(self) -> MetricInfo:
        return MetricInfo(
            key=self.key,
            version=f"{self.key}@{self.version}",
            label=self.label,
            direction=self.direction,
            group=self.group,
            help=" ".join((inspect.getdoc(self.compute) or "").split()),
            headline=self.headline,
        )


METRICS: tuple[Metric, ...] = (
    Metric("overall", 2, "Overall", "overall", "up", axes.overall, headline=True),
    Metric("forgetting", 2, "Forgetting", "forget", "up", axes.forgetting, headline=True),
    Metric("generality", 2, "Generality", "forget", "up", axes.generality, headline=True),
    Metric("locality", 2, "Locality", "retain", "up", axes.locality, headline=True),
    Metric("har", 2, "HAR", "refusal", "up", axes.har, headline=True),
    Metric("over_refusal", 2, "Over-refusal", "refusal", "down", axes.over_refusal, headline=True),
    Metric("utility", 1, "Utility", "utility", "up", axes.utility, headline=True),
    Metric("extraction_strength", 2, "Extraction strength", "erasure", "down", axes.extraction_strength, headline=True),
    Metric("answer_probability", 1, "Answer probability", "erasure", "down", axes.answer_probability, headline=True),
    Metric("truth_ratio", 1, "Truth ratio", "erasure", "down", axes.truth_ratio, headline=True),
    Metric("mrr", 1, "MRR", "erasure", "down", axes.mrr),
    Metric("exact_memorization", 1, "Exact memorisation", "erasure", "down", axes.exact_memorization),
    Metric("rouge_l", 1, "ROUGE-L", "forget", "down", axes.rouge_l),
    Metric("deviation", 1, "Deviation Score / 100", "forget", "down", axes.deviation),
    Metric("neighbour_locality", 2, "Neighbour locality", "retain", "up", axes.neighbour_locality),
    Metric("retain_locality", 2, "Retain locality", "retain", "up", axes.retain_locality),
    Metric("har_raw", 2, "HAR on forget probes", "refusal", "up", axes.har_raw),
    Metric("refusal_rate", 2, "Refusal rate", "refusal", "up", axes.refusal_rate),
    Metric("leak", 2, "Leak", "forget", "down", axes.leak),
    Metric("hallucination", 2, "Hallucination", "refusal", "down", axes.hallucination),
    Metric("fluency", 1, "Fluency", "refusal", "up", axes.fluency),
    Metric("context", 2, "Context", "refusal", "up", axes.context),
    Metric("policy", 2, "Policy wording", "refusal", "down", axes.policy),
    Metric("choice_kept", 1, "Kept choices", "utility", "up", axes.choice_kept),
    Metric("perplexity_ratio", 1, "Perplexity ratio", "utility", "up", axes.perplexity_ratio),
    Metric("choice_accuracy", 1, "Choice accuracy", "utility", "up", axes.choice_accuracy),
    Metric("perplexity", 1, "Perplexity", "utility", "down", axes.perplexity),
)

#: Measured once a run, without an interval.
COSTS: tuple[MetricInfo, ...] = (
    MetricInfo(
        key="unlearn_wall_s",
        version="unlearn_wall_s@1",
        label="Unlearn time, s",
        direction="down",
        group="cost",
        help="Wall-clock seconds of the unlearn container. Lower is better; hardware is in the receipt.",
    ),
    MetricInfo(
        key="peak_mb",
        version="peak_mb@1",
        label="Peak memory, MB",
        direction="down",
        group="cost",
        help="Peak memory of the unlearn container in MB, its output included. Lower is better.",
    ),
    MetricInfo(
        key="artifact_mb",
        version="artifact_mb@1",
        label="Artifact, MB",
        direction="down",
        group="cost",
        help="Size of the sealed artifact in MB. Lower is better.",
    ),
    MetricInfo(
        key="measure_wall_s",
        version="measure_wall_s@1",
        label="Measure time, s",
        direction="down",
        group="cost",
        help="Wall-clock seconds of answering every probe, the start of a server included. Lower is better.",
    ),
)
