"""Turning keys and residuals into an update of one matrix: what MEMIT and AlphaEdit solve, in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def least_squares_update(K: Tensor, R: Tensor, C: Tensor, weight: float) -> Tensor:
    """R K^T (weight C + K K^T)^-1, (width, keys): writes R at K while keys that C holds to be common move least.

    K (keys, n), R (width, n), C (keys, keys). Meng et al., "Mass-Editing Memory in a Transformer", equation 14.
    """
    solved: Tensor = torch.linalg.solve(weight * C + K @ K.T, K @ R.T)
    return solved.T


def null_space_projection(C: Tensor, share: float) -> Tensor:
    """P, (keys, keys), onto the `share` of C's eigenvectors with the smallest eigenvalues.

    Fang et al., "AlphaEdit", ICLR 2025, section 3.2, cuts at a fixed eigenvalue; a share fits any base.
    """
    _, vectors = torch.linalg.eigh(C)  # Eigenvalues in ascending order.
    kept = vectors[:, : max(1, round(share * len(C)))]
    projection: Tensor = kept @ kept.T
    return projection


def projected_update(K: Tensor, R: Tensor, P: Tensor, KpKp: Tensor, ridge: float) -> Tensor:
    """R K^T P (K K^T P + Kp Kp^T P + ridge I)^-1, (width, keys): no key outside the range of P moves.

    Fang et al., "AlphaEdit", equation 14.
    """
    # Transposed, so that the solve has n right-hand sides instead of `width`.
    left = P @ (K @ K.T + KpKp) + ridge * torch.eye(len(P)).to(P)
    solved: Tensor = torch.linalg.solve(left, P @ K @ R.T)
    return solved.T
