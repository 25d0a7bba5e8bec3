"""Statistics: intervals by a bootstrap over subjects, paired differences, ranks, ties, seeds. Pure; deterministic."""

from evaluator.statistics.bootstrap import ProbeTable, Resampler
from evaluator.statistics.distances import Distance, ks_distance, wasserstein_distance
from evaluator.statistics.intervals import MetricIntervals, board_intervals, metric_intervals
from evaluator.statistics.ranking import (
    Differences,
    RankedEntry,
    detectable_difference,
    holm,
    paired_differences,
    rank_entries,
)
from evaluator.statistics.rates import wilson_interval
from evaluator.statistics.seeds import SeedVariance, seed_variance

__all__ = [
    "Differences",
    "Distance",
    "MetricIntervals",
    "ProbeTable",
    "RankedEntry",
    "Resampler",
    "SeedVariance",
    "board_intervals",
    "detectable_difference",
    "holm",
    "ks_distance",
    "metric_intervals",
    "paired_differences",
    "rank_entries",
    "seed_variance",
    "wasserstein_distance",
    "wilson_interval",
]
