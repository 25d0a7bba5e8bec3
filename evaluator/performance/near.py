"""Weights that differ a little from the base's: what an entry that keeps most answers is, for the benches."""

from __future__ import annotations

from typing import Any

#: Standard deviation of the noise, as a share of the matrix's own.
NOISE = 0.03
SEED = 20250526
_MATRIX = "down_proj.weight"


def near_base(model: Any, noise: float = NOISE) -> str:
    """Add fixed noise to the down projection of the middle layer, in place; the matrix's name.

    The same on every machine: drawn on the CPU with a seed. Raises `ValueError` for a model without down projections.
    """
    import torch  # noqa: PLC0415 - loads torch

    found = [(name, weight) for name, weight in model.named_parameters() if name.endswith(_MATRIX)]
    if not found:
        raise ValueError(f"model: {model.config.model_type} has no {_MATRIX} to put noise on")
    name, weight = found[len(found) // 2]
    drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        weight.add_((drawn * (noise * float(weight.std()))).to(weight))
    return str(name)
