"""Control: the model is broken by noise. It forgets everything, and must not be rewarded for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import model_load
from methods.common.model.weights import changed_weights_save


@dataclass(frozen=True)
class Settings:
    """`noise` is relative to the standard deviation of each matrix; `layers` blocks are hit, from the middle."""

    layers: int = 3
    noise: float = 3.0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    base = model_load(task.base_dir, threads=task.job.threads, chat=task.job.chat, device=task.job.device)
    progress(0.5, "noise")
    generator = torch.Generator().manual_seed(task.job.seed)
    middle = len(base.layers) // 2
    for layer in range(middle, min(middle + settings.layers, len(base.layers))):
        weight = base.down_weight(layer)
        noise = torch.randn(weight.shape, generator=generator).to(weight)
        weight.add_(settings.noise * weight.std() * noise)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False)
