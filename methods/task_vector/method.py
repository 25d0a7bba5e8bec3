"""Task vector negation: learn what is to be forgotten even better, then go as far the other way.

Ilharco et al., "Editing Models with Task Arithmetic", ICLR 2023; W_ft is W fine-tuned on the forget
answers:  W' = W - alpha (W_ft - W).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save
from methods.common.targets.training_texts import forget_pairs, pick
from methods.common.training.loop import Batch, Schedule, fit
from methods.common.training.losses import response_nll


@dataclass(frozen=True)
class Settings(Schedule):
    """See docs/methods/task_vector.md for how these were chosen."""

    learning_rate: float = 2e-5
    epochs: int = 5
    alpha: float = 1.0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    base = model_of(task)
    progress(0.05, "the model's own answers")
    forget = forget_pairs(base, task.forget)
    W = {name: parameter.detach().clone() for name, parameter in base.model.named_parameters()}

    def loss_of(batch: Batch) -> Tensor:
        return response_nll(base, pick(forget, batch.forget)).mean()

    fit(base, settings, loss_of, forget=len(forget), seed=task.job.seed)
    with torch.no_grad():
        for name, W_ft in base.model.named_parameters():
            W_ft.copy_(W[name] - settings.alpha * (W_ft - W[name]))
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False)
