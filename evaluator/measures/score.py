"""Score: primitives and probe values to a scorecard, pure and repeatable without a new run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evaluator import __version__
from evaluator.contract import Job, MetricScore, ReleaseCard, Scorecard, ladder_up
from evaluator.contract.shown import HIDDEN_DECIMALS
from evaluator.measures.metrics.board import COSTS, METRICS
from evaluator.measures.statistics import ProbeTable, Resampler, metric_intervals
from evaluator.trace import TraceRow, trace_values


def probe_table(rows: Sequence[TraceRow]) -> ProbeTable:
    """The columns that statistics need, from trace rows (complete or redacted)."""
    return ProbeTable(
        subject_key=tuple(str(row["subject_key"]) for row in rows),
        kind=tuple(str(row["kind"]) for row in rows),
        base_correct=tuple(bool(row["base_correct"]) for row in rows),
        values={name: np.array(values) for name, values in trace_values(rows).items()},
    )


def resampling_key(release: str, content_sha256: str) -> str:
    return f"{release}:{content_sha256}"


def cost_shown(value: float | None, split: str) -> float | None:
    """A cost as it may leave a run: on a hidden split the next of 1, 2, 5, 10, 20, 50, … that is not below it."""
    if value is None:
        return None
    return ladder_up(value) if split == "hidden" else round(value, 1)


def score_shown(value: float | None) -> float | None:
    """A score as it may leave a hidden run: three decimals, and above 1 (a perplexity) two significant digits.

    Either way it is one of at most `SHOWN_NUMBERS`: what a submission could carry out in it is counted by that.
    """
    if value is None or math.isnan(value):
        return None
    return round(value, HIDDEN_DECIMALS if value <= 1 else 1 - math.floor(math.log10(value)))


def scorecard_make(
    *, job: Job, card: ReleaseCard, rows: Sequence[TraceRow], costs: dict[str, float], stores_forget_text: bool
) -> Scorecard:
    """Every metric with its interval. `costs` holds the raw seconds and megabytes of the run's stages."""
    table = probe_table(rows)
    found = metric_intervals(table, Resampler(table, key=resampling_key(card.slug, card.content_sha256)))

    def shown(value: float | None) -> float | None:
        if card.split == "hidden":
            return score_shown(value)
        return None if value is None else round(value, 6)

    subjects = len(set(table.subject_key))
    scores = [
        MetricScore(
            key=metric.key,
            version=f"{metric.key}@{metric.version}",
            value=shown(found.value[metric.key]),
            low=shown(found.low[metric.key]),
            high=shown(found.high[metric.key]),
            n_items=len(rows),
            n_subjects=subjects,
        )
        for metric in METRICS
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
        stores_forget_text=stores_forget_text,
        metrics=(*(metric.info() for metric in METRICS), *COSTS),
        scores=tuple(scores),
    )
