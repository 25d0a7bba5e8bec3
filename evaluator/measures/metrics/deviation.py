"""One number for how far a model is from forgetting everything asked and keeping everything else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def deviation_score(forget: float | FloatArray, retain: float | FloatArray) -> FloatArray:
    """DS = 100 · sqrt(forget² + (1 - retain)²), in [0, 141.4], lower is better: the distance from the ideal corner.

    `forget`, `retain`: mean ROUGE of the two sets, each in [0, 1] (ROUGE-1 in LUNAR, arXiv 2502.07218; ROUGE-L in
    DRAGON, arXiv 2511.05784). NaN, "not run", where one is. A model retrained without the forget set is far from 0
    (TOFU 1 %: 41, as DRAGON reports): below it DS rewards a style of refusal, not a likeness to retraining.
    Raises `ValueError` for a value outside [0, 1].
    """
    both = np.stack(np.broadcast_arrays(np.asarray(forget, np.float64), np.asarray(retain, np.float64)))
    if ((both < 0) | (both > 1)).any():
        raise ValueError("deviation_score: forget and retain must lie in [0, 1]")
    score: FloatArray = 100 * np.sqrt(both[0] ** 2 + (1 - both[1]) ** 2)
    return score
