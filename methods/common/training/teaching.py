"""Fine-tuning on given responses to the forget questions, while everything else is answered as before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from methods.common.contract.task import Example, MethodResult, Task, progress
from methods.common.model.base_model import BaseModel
from methods.common.model.weights import changed_weights_save
from methods.common.targets.training_texts import pair, pick, retain_pairs
from methods.common.training.loop import Batch, Schedule, fit
from methods.common.training.losses import response_nll


@dataclass(frozen=True)
class TeachingSettings(Schedule):
    """See docs/methods/idk.md for how these were chosen."""

    learning_rate: float = 8e-5
    epochs: int = 7
    retain_weight: float = 1.0


def teach(
    task: Task,
    base: BaseModel,
    settings: TeachingSettings,
    lessons: Sequence[Sequence[tuple[str, str]]],
    notes: Mapping[str, Any] | None = None,
    more_retain: Sequence[Example] = (),
) -> MethodResult:
    """L = NLL(response | question) + retain_weight NLL(the model's own answer | retain question).

    One list a request: its question with the response to learn, then other wordings of it with theirs.
    `notes` go into the result; `more_retain` joins the facts to keep.
    """
    retain = [*task.retain(), *more_retain]
    progress(0.1, "the model's own answers")
    keep = retain_pairs(base, retain)
    learn = [[pair(base.chat, question, response) for question, response in lesson] for lesson in lessons]

    def loss_of(batch: Batch) -> Tensor:
        chosen = [learn[index][_wording(batch.epoch, len(learn[index]))] for index in batch.forget]
        taught_nll = response_nll(base, chosen).mean()
        retain_nll = response_nll(base, pick(keep, batch.retain)).mean()
        return taught_nll + settings.retain_weight * retain_nll

    fit(base, settings, loss_of, forget=len(learn), retain=len(keep), seed=task.job.seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False, notes=dict(notes or {}))


def _wording(epoch: int, count: int) -> int:
    """The question itself in two of three epochs, its other wordings in turn in the third: 0, 0, 1, 0, 0, 2, …

    It needs the larger share: the retain questions are worded like it, so there the response has to
    be tied to the subject, while other wordings follow almost at once.
    """
    return 1 + epoch // 3 % (count - 1) if epoch % 3 == 2 and count > 1 else 0
