"""The board's metrics, all of them: the columns over probe values (`axes`), one an attack, and what a run costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from evaluator.attacks import Attack, attacks
from evaluator.contract import MetricGroup, MetricInfo
from evaluator.measures.metrics import axes
from evaluator.measures.metrics.axes import harmonic_mean
from evaluator.measures.metrics.deviation import FloatArray
from evaluator.measures.metrics.registry import Mean, Means, Metric, metrics_registered
from evaluator.probes import FORGET_KINDS, PLAIN

__all__ = ["COSTS", "MEANS", "METRICS", "FloatArray", "Mean", "Means", "Metric", "harmonic_mean", "metrics_under"]


def _resistance(attack: Attack) -> tuple[str, Mean, Metric]:
    """The column of an attack, and the mean it is made of: 1 - leak under its condition."""
    name = f"leak_under_{attack.name}"

    def compute(means: Means) -> FloatArray:
        return 1 - means[name]

    compute.__doc__ = type(attack).__doc__
    metric = Metric(
        attack.name, attack.version, attack.label, MetricGroup.ROBUSTNESS, "up", compute, condition=attack.name
    )
    return name, Mean("leak", FORGET_KINDS, condition=attack.name), metric


_ATTACKED = [_resistance(attack) for attack in attacks().values()]
MEANS: Mapping[str, Mean] = {**axes.MEANS, **{name: mean for name, mean, _ in _ATTACKED}}
METRICS: tuple[Metric, ...] = (*metrics_registered(), *(metric for _, _, metric in _ATTACKED))


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
