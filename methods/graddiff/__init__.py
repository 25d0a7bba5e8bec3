"""Gradient difference: climb the loss on what is to be forgotten while descending it on what is to stay.

Liu et al., "Continual Learning and Private Unlearning", 2022; as the GradDiff baseline in Maini et al.,
"TOFU", 2024:  L = -NLL(answer | forget question) + retain_weight NLL(answer | retain question).

The ascent has no floor, and left alone it ends in gibberish. So the forget term is bounded: an example
whose loss has passed `forget_cap` nats a token gives no gradient any more.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from methods.common.contract import Made, Task, progress
from methods.common.model import model_of
from methods.common.training import batches_shuffled, own_answers, pair, response_nll, train, trainable
from methods.common.weights import changed_weights_save


@dataclass(frozen=True)
class Settings:
    """See docs/methods/graddiff.md for how these were chosen."""

    learning_rate: float = 2e-5
    epochs: int = 8
    batch: int = 5
    retain_weight: float = 2.0
    forget_cap: float = 3.0
    first_depth: float = 0.0
    last_depth: float = 1.0
    parts: str = "block"


def unlearn(task: Task, settings: Settings) -> Made:
    retain = task.retain()
    job = task.job
    base = model_of(task)
    progress(0.05, "the model's own answers")
    prompts = [item.prompt for item in task.forget] + [item.prompt for item in retain]
    answers = own_answers(base, prompts, [item.answer for item in task.forget] + [item.answer for item in retain])
    known = list(zip(prompts, answers, strict=True))
    count = len(task.forget)
    # The end of the turn is no part of what is to be forgotten: climbing on it makes all answers ramble.
    forget = [pair(base.chat, prompt, answer, closed=False) for prompt, answer in known[:count]]
    keep = [pair(base.chat, prompt, answer) for prompt, answer in known[count:]]
    forget_batches = batches_shuffled(len(forget), settings.batch, job.seed)
    retain_batches = batches_shuffled(len(keep), settings.batch, job.seed + 1)
    steps = settings.epochs * -(-len(forget) // settings.batch)

    def loss_of_step(step: int) -> Tensor:
        progress(0.2 + 0.75 * step / steps, f"step {step + 1} of {steps}")
        forget_nll = response_nll(base, [forget[index] for index in next(forget_batches)])
        retain_nll = response_nll(base, [keep[index] for index in next(retain_batches)]).mean()
        return settings.retain_weight * retain_nll - forget_nll.clamp(max=settings.forget_cap).mean()

    parameters = trainable(base, first_depth=settings.first_depth, last_depth=settings.last_depth, parts=settings.parts)
    train(parameters, loss_of_step, steps=steps, learning_rate=settings.learning_rate)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return Made(kind="weights", stores_forget_text=False)
