"""Rounding: every linear layer's weights to eight bits, as people store models to run them cheaply."""

from __future__ import annotations

from typing import Any

from evaluator.attacks.base import ModelAttack


class Rounding8(ModelAttack):
    """1 - leak rate after the weights of every linear layer were rounded to 8 bits: to the nearest of 255 steps of one
    scale a row, in fp32 arithmetic (round to nearest, as in arXiv 2410.16454); verbatim forget questions. In
    [0, 1], higher is better. Weights division only. Cannot tell what finer or coarser grids bring back.
    """

    name = "rounding_8bit"
    label = "8-bit"
    family = "model"
    example = "What is the capital of Velia? (asked of the rounded weights)"

    def applied(self, model: Any) -> Any:
        import torch  # noqa: PLC0415 - loads torch

        with torch.no_grad():
            for layer in model.modules():
                if isinstance(layer, torch.nn.Linear):
                    step = layer.weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
                    layer.weight.copy_((layer.weight / step).round() * step)
        return model
