"""Score: primitives and probe values to a scorecard, pure and repeatable without a new run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evaluator import __version__
from evaluator.contract import Job, MetricScore, ReleaseCard, Scorecard
from evaluator.metrics.board import COSTS, METRICS
from evaluator.statistics import ProbeTable, Resampler, metric_intervals
from evaluator.trace import TraceRow, trace_values

#: Digits of a published score of a hidden split, and the steps of its costs: what a submission could signal with.
HIDDEN_DIGITS = 3
COST_STEPS = {"unlearn_wall_s": 10.0, "measure_wall_s": 10.0, "peak_mb": 256.0, "artifact_mb": 16.0}


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


def cost_shown(key: str, value: float | None, split: str) -> float | None:
    """A cost as it may leave a run: rounded up to a coarse step on a hidden split."""
    if value is None:
        return None
    step = COST_STEPS[key] if split == "hidden" else 0.1
    return round(math.ceil(value / step - 1e-9) * step, 1)


def scorecard_make(
    *, job: Job, card: ReleaseCard, rows: Sequence[TraceRow], costs: dict[str, float], stores_forget_text: bool
) -> Scorecard:
    """Every metric with its interval. `costs` holds the raw seconds and megabytes of the run's stages."""
    table = probe_table(rows)
    found = metric_intervals(table, Resampler(table, key=resampling_key(card.slug, card.content_sha256)))
    digits = HIDDEN_DIGITS if card.split == "hidden" else 6

    def shown(value: float | None) -> float | None:
        return None if value is None else round(value, digits)

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
        MetricScore(key=info.key, version=info.version, value=cost_shown(info.key, costs.get(info.key), card.split))
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
