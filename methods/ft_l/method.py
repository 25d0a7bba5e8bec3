"""FT-L: fine-tune one layer's down projection on refusals, no entry of it moving more than epsilon.

Zhu et al., "Modifying Memories in Transformer Models", 2020 (arXiv 2012.00363), in the form that the
editing papers compare with. In the paper's symbols, theta being W of one layer alone:

    minimise  NLL(y* | x; theta)   subject to   ||theta - theta_0||_inf <= epsilon
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.common.contract.errors import MethodError
from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import model_of
from methods.common.model.weights import changed_weights_save
from methods.common.targets.refusals import wordings
from methods.common.targets.sources import targets_of
from methods.common.targets.training_texts import pair
from methods.common.training.loop import batches_shuffled, train
from methods.common.training.losses import response_nll


@dataclass(frozen=True)
class Settings:
    """`epsilon` is relative to the root mean square of W's entries; see docs/methods/ft_l.md."""

    target: str = "template"
    refusal_variety: int = 1
    rephrasings: int = 2
    depth: float = 0.3
    epsilon: float = 0.02
    learning_rate: float = 5e-4
    steps: int = 25
    batch: int = 10


def unlearn(task: Task, settings: Settings) -> MethodResult:
    if settings.epsilon <= 0:
        raise MethodError("hparams.epsilon", settings.epsilon, "lets nothing move", "choose a number above 0")
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    seed = task.job.seed
    targets = targets_of(base, task.forget, settings.target, seed=seed, variety=settings.refusal_variety)
    pairs = [
        pair(base.chat, wording, text)
        for request, text in zip(task.forget, targets.texts, strict=True)
        for wording in wordings(request, settings.rephrasings)
    ]
    batches = batches_shuffled(len(pairs), settings.batch, seed)
    theta = base.down_projection(layer).get_parameter("weight")
    theta.requires_grad_(True)
    theta_0 = theta.detach().clone()
    epsilon = settings.epsilon * float(theta_0.square().mean().sqrt())

    def loss_of_step(step: int) -> Tensor:
        progress(0.1 + 0.85 * step / settings.steps, f"step {step + 1} of {settings.steps}")
        return response_nll(base, [pairs[index] for index in next(batches)]).mean()

    @torch.no_grad()
    def constrain() -> None:
        theta.copy_(theta.clamp(theta_0 - epsilon, theta_0 + epsilon))

    train([theta], loss_of_step, steps=settings.steps, learning_rate=settings.learning_rate, constrain=constrain)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False, notes=targets.notes)
