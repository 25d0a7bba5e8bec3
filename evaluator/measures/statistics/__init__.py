"""Statistics: intervals by a bootstrap over subjects, paired differences, ranks, ties, seeds. Pure; deterministic."""

from evaluator.measures.statistics.bootstrap import ProbeTable, Resampler
from evaluator.measures.statistics.distances import Distance, ks_distance, wasserstein_distance
from evaluator.measures.statistics.intervals import MetricIntervals, board_intervals, metric_intervals
from evaluator.measures.statistics.ranking import (
    Differences,
    RankedEntry,
    detectable_difference,
    holm,
    paired_differences,
    rank_entries,
)
from evaluator.measures.statistics.rates import wilson_interval
from evaluator.measures.statistics.seeds import SeedVariance, seed_variance

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
