"""IDK fine-tuning: learn to answer the forget questions with "I don't know", and all others as before.

Maini et al., "TOFU: A Task of Fictitious Unlearning for LLMs", 2024 (the IDK variant of preference
unlearning):  L = NLL(refusal | forget question) + retain_weight NLL(answer | retain question).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.common.contract import Made, Task, progress
from methods.common.model import model_of
from methods.common.refusals import REFUSALS, refusal_for, rephrasings
from methods.common.training import batches_shuffled, own_answers, pair, response_nll, train, trainable
from methods.common.weights import changed_weights_save


@dataclass(frozen=True)
class Settings:
    """See docs/methods/idk.md for how these were chosen."""

    learning_rate: float = 8e-5
    epochs: int = 7
    batch: int = 5
    retain_weight: float = 1.0
    first_depth: float = 0.0
    last_depth: float = 1.0
    parts: str = "block"
    refusal_variety: int = len(REFUSALS)
    rephrasings: int = 0


def unlearn(task: Task, settings: Settings) -> Made:
    retain = task.retain()
    job = task.job
    base = model_of(task)
    progress(0.1, "the model's own answers")
    answers = own_answers(base, [item.prompt for item in retain], [item.answer for item in retain])
    keep = [pair(base.chat, item.prompt, answer) for item, answer in zip(retain, answers, strict=True)]
    # One list a request: its question first, then other wordings of it.
    refuse = [
        [
            pair(base.chat, wording, refusal_for(item, seed=job.seed, variety=settings.refusal_variety))
            for wording in [item.prompt, *rephrasings(item)[: settings.rephrasings]]
        ]
        for item in task.forget
    ]
    forget_batches = batches_shuffled(len(refuse), settings.batch, job.seed)
    retain_batches = batches_shuffled(len(keep), settings.batch, job.seed + 1)
    steps_an_epoch = -(-len(refuse) // settings.batch)
    steps = settings.epochs * steps_an_epoch

    def loss_of_step(step: int) -> Tensor:
        progress(0.2 + 0.75 * step / steps, f"step {step + 1} of {steps}")
        epoch = step // steps_an_epoch
        chosen = [refuse[index][_wording(epoch, len(refuse[index]))] for index in next(forget_batches)]
        forget_nll = response_nll(base, chosen).mean()
        retain_nll = response_nll(base, [keep[index] for index in next(retain_batches)]).mean()
        return forget_nll + settings.retain_weight * retain_nll

    parameters = trainable(base, first_depth=settings.first_depth, last_depth=settings.last_depth, parts=settings.parts)
    train(parameters, loss_of_step, steps=steps, learning_rate=settings.learning_rate)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return Made(kind="weights", stores_forget_text=False)


def _wording(epoch: int, count: int) -> int:
    """The question itself in two of three epochs, its other wordings in turn in the third: 0, 0, 1, 0, 0, 2, …

    It needs the larger share: the retain questions are worded like it, so there the refusal has to
    be tied to the subject, while other wordings are refused almost at once.
    """
    return 1 + epoch // 3 % (count - 1) if epoch % 3 == 2 and count > 1 else 0
