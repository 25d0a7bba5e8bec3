"""IDK fine-tuning: learn to answer the forget questions with "I don't know", and all others as before.

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs", 2024 (the IDK variant of preference
unlearning):  L = NLL(refusal | forget question) + retain_weight NLL(answer | retain question).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.common.contract import Made, Task, progress
from methods.common.losses import response_nll
from methods.common.model import model_of
from methods.common.pairs import pair, pick, retain_pairs
from methods.common.refusals import REFUSALS, refusal_for, rephrasings
from methods.common.training import Batch, Schedule, fit
from methods.common.weights import changed_weights_save


@dataclass(frozen=True)
class Settings(Schedule):
    """See docs/methods/idk.md for how these were chosen."""

    learning_rate: float = 8e-5
    epochs: int = 7
    retain_weight: float = 1.0
    refusal_variety: int = len(REFUSALS)
    rephrasings: int = 0


def unlearn(task: Task, settings: Settings) -> Made:
    retain = task.retain()
    base = model_of(task)
    progress(0.1, "the model's own answers")
    keep = retain_pairs(base, retain)
    # One list a request: its question first, then other wordings of it.
    refuse = [
        [
            pair(base.chat, wording, refusal_for(item, seed=task.job.seed, variety=settings.refusal_variety))
            for wording in [item.prompt, *rephrasings(item)[: settings.rephrasings]]
        ]
        for item in task.forget
    ]

    def loss_of(batch: Batch) -> Tensor:
        chosen = [refuse[index][_wording(batch.epoch, len(refuse[index]))] for index in batch.forget]
        forget_nll = response_nll(base, chosen).mean()
        retain_nll = response_nll(base, pick(keep, batch.retain)).mean()
        return forget_nll + settings.retain_weight * retain_nll

    fit(base, settings, loss_of, forget=len(refuse), retain=len(keep), seed=task.job.seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return Made(kind="weights", stores_forget_text=False)


def _wording(epoch: int, count: int) -> int:
    """The question itself in two of three epochs, its other wordings in turn in the third: 0, 0, 1, 0, 0, 2, …

    It needs the larger share: the retain questions are worded like it, so there the refusal has to
    be tied to the subject, while other wordings are refused almost at once.
    """
    return 1 + epoch // 3 % (count - 1) if epoch % 3 == 2 and count > 1 else 0
