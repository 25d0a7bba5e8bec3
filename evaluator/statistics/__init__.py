"""Statistics: intervals by a bootstrap over subjects, ranks with intervals, ties. Pure NumPy; deterministic."""

from evaluator.statistics.bootstrap import MetricIntervals, ProbeTable, Resampler, metric_intervals
from evaluator.statistics.ranking import RankedEntry, rank_entries

__all__ = ["MetricIntervals", "ProbeTable", "RankedEntry", "Resampler", "metric_intervals", "rank_entries"]
