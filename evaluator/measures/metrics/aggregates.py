"""How means and parts become one number: harmonic means, and what to do where one was not run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from evaluator.measures.metrics.deviation import FloatArray

#: Parts that not every entry or release has.
OPTIONAL = frozenset({"robustness", "erasure"})


def harmonic_mean(*values: FloatArray) -> FloatArray:
    """Harmonic mean; 0 wherever one value is 0, NaN wherever one was not run."""
    stacked = _stacked(values)
    return np.asarray(np.where(np.isnan(stacked).any(axis=0), np.nan, harmonic_of_present(stacked)))


def _stacked(values: Iterable[FloatArray | float]) -> FloatArray:
    """Values of one shape, or that broadcast to one, along a new first axis."""
    return np.stack(np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in values)))


def mean_of_present(values: Sequence[FloatArray]) -> FloatArray:
    """Mean of those that were run; NaN where none was."""
    stacked = _stacked(values)
    count = (~np.isnan(stacked)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, np.nansum(stacked, axis=0) / np.maximum(count, 1), np.nan))


def harmonic_of_present(values: Iterable[FloatArray]) -> FloatArray:
    """Harmonic mean of those that were run, 0 where one of them is 0; NaN where none was."""
    stacked = _stacked(values)
    run = ~np.isnan(stacked)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = run.sum(axis=0) / np.where(run, 1.0 / np.where(stacked > 0, stacked, np.nan), 0.0).sum(axis=0)
    zero = (run & (stacked <= 0)).any(axis=0)
    return np.asarray(np.where(run.any(axis=0), np.where(zero, 0.0, mean), np.nan))


def least_of_present(values: Sequence[FloatArray]) -> FloatArray:
    """The smallest of those that were run; NaN where none was."""
    stacked = _stacked(values)
    found = np.where(np.isnan(stacked), np.inf, stacked).min(axis=0)
    return np.asarray(np.where(np.isinf(found), np.nan, found))


def whole_of(parts: Mapping[str, FloatArray | float], *, but: str = "") -> FloatArray:
    """The official aggregate of the parts, by key: their harmonic mean, 0 where one is 0. A part of `OPTIONAL` that was
    not run is left out, and so is `but`; where any other was not run, there is none.
    """
    keys = [key for key in parts if key != but]
    stacked = _stacked(parts[key] for key in keys)
    optional = np.array([key in OPTIONAL for key in keys])
    run = ~np.isnan(stacked)
    lacking = (~run[~optional]).any(axis=0)
    return np.asarray(np.where(lacking, np.nan, harmonic_of_present(stacked)))
