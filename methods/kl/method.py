"""KL minimisation: climb the loss on the forget answers while staying near the base on what is to be kept.

The KL baseline of Maini et al., "TOFU", 2024, with p0 the base before any training:

    L = -NLL(answer | forget question) + retain_weight KL(p0 || p) over the retain answers
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save
from methods.common.targets.training_texts import forget_pairs, pick, retain_pairs
from methods.common.training.loop import Batch, Schedule, fit
from methods.common.training.losses import Reference, ascent, divergence, response_nll, response_states


@dataclass(frozen=True)
class Settings(Schedule):
    """See docs/methods/kl.md for how these were chosen; `forget_cap` in nats a token."""

    learning_rate: float = 3e-5
    retain_weight: float = 1.0
    forget_cap: float = 3.0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain = task.retain()
    base = model_of(task)
    progress(0.05, "the model's own answers")
    forget, keep = forget_pairs(base, task.forget), retain_pairs(base, retain)
    p0 = Reference(base, keep)

    def loss_of(batch: Batch) -> Tensor:
        forget_nll = response_nll(base, pick(forget, batch.forget))
        p = base.logits(response_states(base, pick(keep, batch.retain)))
        kept = divergence(p0.logits(batch.retain), p).mean()
        return ascent(forget_nll, settings.forget_cap) + settings.retain_weight * kept

    fit(base, settings, loss_of, forget=len(forget), retain=len(keep), seed=task.job.seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False)
