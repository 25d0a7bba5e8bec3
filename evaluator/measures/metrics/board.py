"""The board's metrics, all of them: the columns over probe values (`axes`), one an attack, and what a run costs."""

from __future__ import annotations

from collections.abc import Collection

import evaluator.measures.metrics.axes  # noqa: F401 - registers the columns
from evaluator.attacks import Attack, attacks
from evaluator.contract import MetricGroup, MetricInfo
from evaluator.measures.metrics.aggregates import harmonic_mean
from evaluator.measures.metrics.deviation import FloatArray
from evaluator.measures.metrics.means import MEANS, leak_under
from evaluator.measures.metrics.registry import Mean, Means, Metric, metrics_registered
from evaluator.probes import PLAIN

__all__ = ["COSTS", "MEANS", "METRICS", "FloatArray", "Mean", "Means", "Metric", "harmonic_mean", "metrics_under"]


def _resistance(attack: Attack) -> Metric:
    """The column of an attack: 1 - leak under its condition."""

    def compute(means: Means) -> FloatArray:
        return 1 - means[leak_under(attack.name)]

    compute.__doc__ = type(attack).__doc__
    group = MetricGroup.FORGET if attack.axis == "generality" else MetricGroup.ROBUSTNESS
    return Metric(
        attack.name,
        attack.version,
        attack.label,
        group,
        "up",
        compute,
        condition=attack.name,
        example=attack.example,
    )


METRICS: tuple[Metric, ...] = (*metrics_registered(), *map(_resistance, attacks().values()))


def metrics_under(conditions: Collection[str]) -> tuple[Metric, ...]:
    """The columns of a release that asks under these conditions: an attack's column is there where it was made."""
    return tuple(metric for metric in METRICS if metric.condition == PLAIN or metric.condition in conditions)


#: Measured once a run, without an interval.
COSTS: tuple[MetricInfo, ...] = (
    MetricInfo(
        key="unlearn_wall_s",
        unit="s",
        version="unlearn_wall_s@1",
        label="Unlearn time, s",
        direction="down",
        group=MetricGroup.COST,
        help="Wall-clock seconds of the unlearn container. Lower is better; hardware is in the receipt.",
    ),
    MetricInfo(
        key="peak_mb",
        unit="MB",
        version="peak_mb@1",
        label="Peak memory, MB",
        direction="down",
        group=MetricGroup.COST,
        help="Peak memory of the unlearn container in MB, its output included. Lower is better.",
    ),
    MetricInfo(
        key="artifact_mb",
        unit="MB",
        version="artifact_mb@1",
        label="Artifact, MB",
        direction="down",
        group=MetricGroup.COST,
        help="Size of the sealed artifact in MB. Lower is better.",
    ),
    MetricInfo(
        key="measure_wall_s",
        unit="s",
        version="measure_wall_s@1",
        label="Measure time, s",
        direction="down",
        group=MetricGroup.COST,
        help="Wall-clock seconds of answering every probe, the start of a server included. Lower is better.",
    ),
)
