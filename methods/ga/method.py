"""Gradient ascent: climb the loss on the answers that are to be forgotten, and nothing else.

Jang et al., "Knowledge Unlearning for Mitigating Privacy Risks in Language Models", ACL 2023:
L = -NLL(answer | forget question). Nothing holds the rest of the model in place, so it diverges by
nature; how far it gets is a matter of when it is stopped.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save
from methods.common.targets.training_texts import forget_pairs, pick
from methods.common.training.loop import Batch, Schedule, fit
from methods.common.training.losses import ascent, response_nll


@dataclass(frozen=True)
class Settings(Schedule):
    """See docs/methods/ga.md for how these were chosen; `forget_cap` in nats a token."""

    learning_rate: float = 1e-5
    epochs: int = 5
    forget_cap: float = 4.0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    base = model_of(task)
    progress(0.05, "the model's own answers")
    forget = forget_pairs(base, task.forget)

    def loss_of(batch: Batch) -> Tensor:
        return ascent(response_nll(base, pick(forget, batch.forget)), settings.forget_cap)

    fit(base, settings, loss_of, forget=len(forget), seed=task.job.seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False)
