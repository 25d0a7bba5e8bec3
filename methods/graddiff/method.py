"""Gradient difference: climb the loss on what is to be forgotten while descending it on what is to stay.

Liu et al., "Continual Learning and Private Unlearning", 2022; as the GradDiff baseline in Maini et al.,
"TOFU", 2024:  L = -NLL(answer | forget question) + retain_weight NLL(answer | retain question).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save
from methods.common.targets.training_texts import forget_pairs, pick, retain_pairs
from methods.common.training.loop import Batch, Schedule, fit
from methods.common.training.losses import ascent, response_nll


@dataclass(frozen=True)
class Settings(Schedule):
    """See docs/methods/graddiff.md for how these were chosen; `forget_cap` in nats a token."""

    retain_weight: float = 2.0
    forget_cap: float = 3.0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain = task.retain()
    base = model_of(task)
    progress(0.05, "the model's own answers")
    forget, keep = forget_pairs(base, task.forget), retain_pairs(base, retain)

    def loss_of(batch: Batch) -> Tensor:
        forget_nll = response_nll(base, pick(forget, batch.forget))
        retain_nll = response_nll(base, pick(keep, batch.retain))
        return ascent(forget_nll, settings.forget_cap) + settings.retain_weight * retain_nll.mean()

    fit(base, settings, loss_of, forget=len(forget), retain=len(keep), seed=task.job.seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False)
