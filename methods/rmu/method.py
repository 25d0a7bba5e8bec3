"""RMU: steer the states of one layer to a random direction on what is to be forgotten, and leave the rest.

Li et al., "The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning", ICML 2024. h the
states behind layer l, h0 those of the base, u a random unit vector; in units of |h0|, the states' norm:

    L = mean |h - c |h0| u|^2 / |h0|^2  over forget tokens  +  alpha mean |h - h0|^2 / |h0|^2  over retain tokens

Only the down projections of layers l-2, l-1 and l are trained. With c a multiple of the norm itself, as
in Adaptive RMU (Dang et al., 2024), one setting fits any base.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.common.contract.task import MethodResult, Task, progress
from methods.common.model.base_model import BaseModel, model_of
from methods.common.model.states import block_states, own_part
from methods.common.model.weights import changed_weights_save
from methods.common.targets.training_texts import forget_pairs, pick, retain_pairs
from methods.common.training.loop import Batch, Pace, fit_parameters


@dataclass(frozen=True)
class Settings(Pace):
    """`depth` 0.25 is block 7 of 30 of the default base; see docs/methods/rmu.md."""

    learning_rate: float = 1e-3
    epochs: int = 30
    depth: float = 0.25
    coefficient: float = 3.0
    alpha: float = 30.0


def unlearn(task: Task, settings: Settings) -> MethodResult:
    retain = task.retain()
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    progress(0.05, "the model's own answers")
    forget, keep = forget_pairs(base, task.forget), retain_pairs(base, retain)
    starts = [own_part(item.ids, [other.ids for other in keep]) for item in forget]
    with torch.no_grad():
        h0 = block_states(base, layer, [item.ids for item in keep])
    norm: Tensor = torch.cat([states[1:] for states in h0]).norm(dim=-1).median()
    target = settings.coefficient * norm * direction(h0[0].shape[-1], task.job.seed).to(norm)

    def loss_of(batch: Batch) -> Tensor:
        h = block_states(base, layer, [item.ids for item in pick(forget, batch.forget) + pick(keep, batch.retain)])
        steered = [states[starts[row] :] for row, states in zip(batch.forget, h, strict=False)]
        held = [states[1:] - h0[row][1:] for row, states in zip(batch.retain, h[len(batch.forget) :], strict=True)]
        loss: Tensor = _squares(torch.cat(steered) - target) + settings.alpha * _squares(torch.cat(held))
        return loss / norm.square()

    fit_parameters(_opened(base, layer), settings, loss_of, forget=len(forget), retain=len(keep), seed=task.job.seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return MethodResult(kind="weights", stores_forget_text=False)


def direction(width: int, seed: int) -> Tensor:
    """u: uniform numbers from 0 to 1, scaled to length 1; (width,)."""
    drawn = torch.rand(width, generator=torch.Generator().manual_seed(seed))
    return nn.functional.normalize(drawn, dim=0)


def _squares(differences: Tensor) -> Tensor:
    """The mean over tokens of the squared length of (tokens, width)."""
    return differences.square().sum(-1).mean()


def _opened(base: BaseModel, layer: int) -> list[nn.Parameter]:
    chosen = [base.down_projection(index).get_parameter("weight") for index in range(max(0, layer - 2), layer + 1)]
    for parameter in chosen:
        parameter.requires_grad_(True)
    return chosen
