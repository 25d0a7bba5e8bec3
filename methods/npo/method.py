"""Negative preference optimisation: the forget answers are losing answers that have no winner beside them.

Zhang et al., "Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning",
2024, with its retain term; x, y a forget question and answer, p0 the base before any training:

    L = -(2 / beta) log sigmoid(beta log(p0(y | x) / p(y | x))) + retain_weight NLL(answer | retain question)

The ascent fades by itself as p falls below p0, so it diverges far later than gradient ascent.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save
from methods.common.targets.training_texts import forget_pairs, pick, retain_pairs
from methods.common.training.loop import Batch, Schedule, fit
from methods.common.training.losses import Reference, preference, response_logprob, response_nll


@dataclass(frozen=True)
class Settings(Schedule):
    """See docs/methods/npo.md for how these were chosen."""

    learning_rate: float = 3e-5
    beta: float = 0.5
    retain_weight: float = 10.0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain = task.retain()
    base = model_of(task)
    progress(0.05, "the model's own answers")
    forget, keep = forget_pairs(base, task.forget), retain_pairs(base, retain)
    p0 = Reference(base, forget)

    def loss_of(batch: Batch) -> Tensor:
        margin = p0.logprob(batch.forget) - response_logprob(base, pick(forget, batch.forget))
        retain_nll = response_nll(base, pick(keep, batch.retain)).mean()
        return preference(margin, settings.beta) + settings.retain_weight * retain_nll

    fit(base, settings, loss_of, forget=len(forget), retain=len(keep), seed=task.job.seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False)
