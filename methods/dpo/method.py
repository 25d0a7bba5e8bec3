"""DPO to refusals: on the forget questions a refusal is preferred over the answer.

Rafailov et al., "Direct Preference Optimization", 2023, as the DPO baseline of Maini et al., "TOFU",
2024; x a forget question, w the refusal, l the answer, p0 the base before any training:

    L = -(2 / beta) log sigmoid(beta (log(p(w | x) / p0(w | x)) - log(p(l | x) / p0(l | x))))
        + retain_weight NLL(answer | retain question)
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save
from methods.common.targets.refusals import REFUSALS
from methods.common.targets.sources import targets_of
from methods.common.targets.training_texts import forget_pairs, pair, pick, retain_pairs
from methods.common.training.loop import Batch, Schedule, fit
from methods.common.training.losses import Reference, preference, response_logprob, response_nll


@dataclass(frozen=True)
class Settings(Schedule):
    """See docs/methods/dpo.md for how these were chosen."""

    learning_rate: float = 3e-5
    beta: float = 0.1
    retain_weight: float = 5.0
    target: str = "template"
    refusal_variety: int = len(REFUSALS)


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain = task.retain()
    base = model_of(task)
    progress(0.05, "the model's own answers")
    seed, variety = task.job.seed, settings.refusal_variety
    targets = targets_of(base, task.forget, settings.target, seed=seed, variety=variety)
    winners = [pair(base.chat, item.prompt, text) for item, text in zip(task.forget, targets.texts, strict=True)]
    losers, keep = forget_pairs(base, task.forget), retain_pairs(base, retain)
    p0_w, p0_l = Reference(base, winners), Reference(base, losers)

    def loss_of(batch: Batch) -> Tensor:
        rows = batch.forget
        w, l = response_logprob(base, pick(winners, rows) + pick(losers, rows)).chunk(2)  # noqa: E741 - the paper's
        margin = (w - p0_w.logprob(rows)) - (l - p0_l.logprob(rows))
        retain_nll = response_nll(base, pick(keep, batch.retain)).mean()
        return preference(margin, settings.beta) + settings.retain_weight * retain_nll

    fit(base, settings, loss_of, forget=len(losers), retain=len(keep), seed=seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False, notes=targets.notes)
