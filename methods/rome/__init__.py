"""ROME with a refusal as the new object: one rank-one edit a request, one after the other.

Meng et al., "Locating and Editing Factual Associations in GPT", NeurIPS 2022; the refusal target
follows "Knowledge Editing as Unlearning", arXiv 2505.19855. In the paper's symbols: k* the key of the
subject, v* the value that makes the model say the target, C = E[k k^T] over neutral text, and

    W' = W + (v* - W k*) (C^-1 k*)^T / ((C^-1 k*)^T k*)

so that W' k* = v* while keys that C holds to be common move least.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from methods.common.contract import Made, Request, Task, progress
from methods.common.editing import (
    ValueSettings,
    contexts_of,
    key_covariance,
    keys_at_lookup,
    subject_context,
    value_change,
)
from methods.common.model import BaseModel, model_of
from methods.common.refusals import refusal_for, rephrasings
from methods.common.weights import changed_weights_save


@dataclass(frozen=True)
class Settings:
    """`depth` 0.17 is block 5 of 30 of the default base; see docs/methods/rome.md."""

    depth: float = 0.17
    covariance_tokens: int = 20_000
    covariance_ridge: float = 0.01
    prefixes: tuple[str, ...] = ("",)
    rephrasings: int = 2
    refusal_variety: int = 1
    v_steps: int = 14
    v_learning_rate: float = 0.5
    v_stop_at: float = 0.05
    v_clamp: float = 4.0
    v_weight_decay: float = 0.001
    kl_factor: float = 0.0625


def unlearn(task: Task, settings: Settings) -> Made:
    neutral = task.neutral()
    job = task.job
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    covariance = key_covariance(
        base,
        layer,
        neutral,
        tokens=settings.covariance_tokens,
        told=lambda done: progress(0.05 + 0.2 * done, "covariance"),
    )
    inverse = _inverse(covariance, settings.covariance_ridge)
    for number, request in enumerate(task.forget):
        progress(0.25 + 0.7 * number / len(task.forget), f"edit {number + 1} of {len(task.forget)}")
        edit(base, layer, inverse, request, settings, seed=job.seed)
    changed_weights_save(base.model, task.base_dir, task.output_dir)
    return Made(kind="weights", stores_forget_text=False)


def edit(
    base: BaseModel, layer: int, inverse_covariance: Tensor, request: Request, settings: Settings, *, seed: int
) -> float:
    """Write one refusal into W of `layer`, in place; returns the last NLL per target token in nats."""
    target = base.chat.response_ids(refusal_for(request, seed=seed, variety=settings.refusal_variety))
    wordings = [prefix + request.prompt for prefix in settings.prefixes]
    contexts = contexts_of(base, request, wordings + rephrasings(request)[: settings.rephrasings])
    delta, nll = value_change(base, layer, contexts, target, subject_context(base, request), _value(settings))
    # The mean key stands in both places of the formula. Taking it for the direction and the bare
    # prompt's key for the scale, as first published, is what makes single edits blow up.
    k = keys_at_lookup(base, layer, contexts).mean(0).double()
    u = inverse_covariance @ k
    update = torch.outer(delta.double(), u) / (u @ k)
    base.down_weight(layer).add_(update.to(base.down_weight(layer)))
    return nll


def _inverse(covariance: Tensor, ridge: float) -> Tensor:
    """(C + ridge mean(diag C) I)^-1: the ridge keeps directions that the sample never showed in check."""
    size = covariance.shape[0]
    damped = covariance + ridge * covariance.diagonal().mean() * torch.eye(size).to(covariance)
    inverse: Tensor = torch.linalg.inv(damped)
    return inverse


def _value(settings: Settings) -> ValueSettings:
    return ValueSettings(
        steps=settings.v_steps,
        learning_rate=settings.v_learning_rate,
        stop_at=settings.v_stop_at,
        clamp=settings.v_clamp,
        kl_factor=settings.kl_factor,
        weight_decay=settings.v_weight_decay,
    )
