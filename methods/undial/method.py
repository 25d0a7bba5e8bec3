"""UnDIAL: the base teaches itself, with the logit of each memorised token lowered.

Dong et al., "UNDIAL: Self-Distillation with Adjusted Logits for Robust Unlearning in Large Language
Models", NAACL 2025; z0 the base's logits over a forget answer, y its tokens:

    L = CE(softmax(z0 - gamma onehot(y)), p) + retain_weight NLL(answer | retain question)

The target is a fixed distribution, so unlike an ascent it has an optimum at which to stop.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save
from methods.common.targets.training_texts import forget_pairs, pick, retain_pairs
from methods.common.training.loop import Batch, Schedule, fit
from methods.common.training.losses import Reference, response_nll, response_states, response_targets


@dataclass(frozen=True)
class Settings(Schedule):
    """See docs/methods/undial.md for how these were chosen; `gamma` in logits."""

    learning_rate: float = 5e-5
    gamma: float = 10.0
    retain_weight: float = 1.0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain = task.retain()
    base = model_of(task)
    progress(0.05, "the model's own answers")
    forget, keep = forget_pairs(base, task.forget), retain_pairs(base, retain)
    p0 = Reference(base, forget)

    def loss_of(batch: Batch) -> Tensor:
        chosen = pick(forget, batch.forget)
        taught = lowered(p0.logits(batch.forget), response_targets(base, chosen), settings.gamma).softmax(-1)
        distilled = nn.functional.cross_entropy(base.logits(response_states(base, chosen)), taught)
        retain_nll = response_nll(base, pick(keep, batch.retain)).mean()
        return distilled + settings.retain_weight * retain_nll

    fit(base, settings, loss_of, forget=len(forget), retain=len(keep), seed=task.job.seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False)


def lowered(logits: Tensor, tokens: Tensor, gamma: float) -> Tensor:
    """z - gamma onehot(y): logits (tokens, vocabulary) with those of `tokens` (tokens,) lowered."""
    return logits - gamma * nn.functional.one_hot(tokens, logits.shape[-1]).to(logits)
