"""Score: primitives and probe values to a scorecard, pure and repeatable without a new run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evaluator import __version__
from evaluator.contract import Fast, Job, MetricGroup, MetricScore, ReleaseCard, Scorecard
from evaluator.contract.disclosure import number_shown, score_shown
from evaluator.contract.values import OF_LIKELIHOODS
from evaluator.measures.metrics.board import COSTS, metrics_under
from evaluator.measures.statistics import ProbeTable, Resampler, metric_intervals
from evaluator.probes import PLAIN
from evaluator.trace import TraceRow, trace_values


def probe_table(rows: Sequence[TraceRow]) -> ProbeTable:
    """The columns that statistics need, from trace rows (complete or redacted)."""
    return ProbeTable(
        subject_key=tuple(str(row["subject_key"]) for row in rows),
        kind=tuple(str(row["kind"]) for row in rows),
        base_correct=tuple(bool(row["base_correct"]) for row in rows),
        values={name: np.array(values) for name, values in trace_values(rows).items()},
        condition=tuple(str(row.get("condition") or PLAIN) for row in rows),  # older traces have no such column
    )


def own_words_left_out(table: ProbeTable, division: str) -> ProbeTable:
    """The table as a board counts it: a server's own words about its probabilities fill no column."""
    if division != "system":
        return table
    nothing = np.full(len(table.kind), np.nan)
    return replace(table, values={**table.values, **dict.fromkeys(OF_LIKELIHOODS, nothing)})


def resampling_key(release: str, content_sha256: str) -> str:
    return f"{release}:{content_sha256}"


def cost_shown(value: float | None, split: str) -> float | None:
    """A cost as it may leave a run: coarse on a hidden split, else to a tenth."""
    if split == "hidden":
        return number_shown(value, group=MetricGroup.COST)
    return None if value is None else round(value, 1)


def scorecard_make(
    *,
    job: Job,
    card: ReleaseCard,
    rows: Sequence[TraceRow],
    costs: dict[str, float],
    declared: bool,
    found: bool,
    fast: Fast | None = None,
) -> Scorecard:
    """Every metric with its interval. `costs` holds the raw seconds and megabytes of the run's stages.

    `declared`, `found`: whether the artifact stores texts of requests, by the method's word and by our search.
    `fast`: what a fast run spared.
    """
    table = own_words_left_out(probe_table(rows), job.manifest.division)
    intervals = metric_intervals(table, Resampler(table, key=resampling_key(card.slug, card.content_sha256)))

    def shown(value: float | None) -> float | None:
        if card.split == "hidden":
            return score_shown(value)
        return None if value is None else round(value, 6)

    subjects = len(set(table.subject_key))
    columns = metrics_under({PLAIN, *card.attacks})
    scores = [
        MetricScore(
            key=metric.key,
            version=f"{metric.key}@{metric.version}",
            value=shown(intervals.value[metric.key]),
            low=shown(intervals.low[metric.key]),
            high=shown(intervals.high[metric.key]),
            n_items=len(rows),
            n_subjects=subjects,
        )
        for metric in columns
    ]
    scores += [
        MetricScore(key=info.key, version=info.version, value=cost_shown(costs.get(info.key), card.split))
        for info in COSTS
    ]
    return Scorecard(
        run_id=job.run_id,
        release=card.slug,
        evaluator=__version__,
        seed=job.seed,
        division=job.manifest.division,
        stores_forget_text=declared or found,
        declared_falsely=found and not declared,
        fast=fast,
        metrics=(*(metric.info() for metric in columns), *COSTS),
        scores=tuple(scores),
    )
