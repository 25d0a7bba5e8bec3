"""SimNPO: negative preference optimisation without a reference model, normalised by length.

Fan et al., "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning", 2024;
x, y a forget question and answer of |y| tokens:

    L = forget_weight * -(2 / beta) log sigmoid(-(beta / |y|) log p(y | x) - gamma)
        + retain_weight NLL(answer | retain question)

Long and short answers weigh alike, and an answer that the base hardly knew is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save
from methods.common.targets.training_texts import forget_pairs, pick, retain_pairs
from methods.common.training.loop import Batch, Schedule, fit
from methods.common.training.losses import preference, response_nll


@dataclass(frozen=True)
class Settings(Schedule):
    """See docs/methods/simnpo.md for how these were chosen."""

    learning_rate: float = 3e-5
    beta: float = 2.5
    gamma: float = 0.0
    forget_weight: float = 1.0
    retain_weight: float = 1.0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain = task.retain()
    base = model_of(task)
    progress(0.05, "the model's own answers")
    forget, keep = forget_pairs(base, task.forget), retain_pairs(base, retain)

    def loss_of(batch: Batch) -> Tensor:
        margin = response_nll(base, pick(forget, batch.forget)) - settings.gamma / settings.beta
        retain_nll = response_nll(base, pick(keep, batch.retain)).mean()
        return settings.forget_weight * preference(margin, settings.beta) + settings.retain_weight * retain_nll

    fit(base, settings, loss_of, forget=len(forget), retain=len(keep), seed=task.job.seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False)
