"""The one training loop of the fine-tuning entries: shuffled batches and a short AdamW."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from methods.common.contract.errors import MethodError
from methods.common.contract.task import progress
from methods.common.model.base_model import BaseModel


@dataclass(frozen=True)
class Pace:
    """How long and how fast an entry trains; an epoch is one pass over the requests."""

    learning_rate: float = 2e-5
    epochs: int = 8
    batch: int = 5


@dataclass(frozen=True)
class Schedule(Pace):
    """The same, and which blocks it trains.

    Depths are shares, 0 the first block and 1 the last; `parts` is "block", all of it, or "mlp".
    """

    first_depth: float = 0.0
    last_depth: float = 1.0
    parts: str = "block"


@dataclass(frozen=True)
class Batch:
    """Which requests and which facts to keep one step is about, as indices."""

    epoch: int
    forget: list[int]
    retain: list[int]


def fit(
    base: BaseModel,
    schedule: Schedule,
    loss_of: Callable[[Batch], Tensor],
    *,
    forget: int,
    retain: int = 0,
    seed: int,
) -> list[float]:
    """Train whole blocks of the base in place; see `fit_parameters`."""
    parameters = trainable(base, first_depth=schedule.first_depth, last_depth=schedule.last_depth, parts=schedule.parts)
    return fit_parameters(parameters, schedule, loss_of, forget=forget, retain=retain, seed=seed)


def fit_parameters(
    parameters: Sequence[nn.Parameter],
    pace: Pace,
    loss_of: Callable[[Batch], Tensor],
    *,
    forget: int,
    retain: int = 0,
    seed: int,
) -> list[float]:
    """Train the parameters in place on `forget` requests beside `retain` facts; returns the loss of each step."""
    forget_batches = batches_shuffled(forget, pace.batch, seed)
    retain_batches: Iterator[list[int]] = (
        batches_shuffled(retain, pace.batch, seed + 1) if retain else itertools.repeat([])
    )
    steps_an_epoch = -(-forget // pace.batch)
    steps = pace.epochs * steps_an_epoch

    def loss_of_step(step: int) -> Tensor:
        progress(0.2 + 0.75 * step / steps, f"step {step + 1} of {steps}")
        return loss_of(Batch(step // steps_an_epoch, next(forget_batches), next(retain_batches)))

    return train(parameters, loss_of_step, steps=steps, learning_rate=pace.learning_rate)


def trainable(base: BaseModel, *, first_depth: float, last_depth: float, parts: str) -> list[nn.Parameter]:
    """Open the parameters of the blocks between two depths (inclusive) to training; embeddings and head stay fixed.

    `parts` is "block" (all of it) or "mlp" (only the MLP). Blocks below then cost no
    backward pass.
    """
    if parts not in ("block", "mlp"):
        raise MethodError("hparams.parts", parts, "is not known", 'choose "block" or "mlp"')
    opened: list[nn.Parameter] = []
    for layer in base.layers_between(first_depth, last_depth):
        names = [name for name, _ in base.layers[layer].named_parameters()]
        wanted = [name for name in names if parts == "block" or _is_mlp(name)]
        for name, parameter in base.layers[layer].named_parameters():
            if name in wanted:
                parameter.requires_grad_(True)
                opened.append(parameter)
    if not opened:
        raise MethodError("hparams.parts", parts, "names no parameter of this base", 'choose "block"')
    return opened


def _is_mlp(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in ("mlp", "feed_forward", "fc1", "fc2")


def batches_shuffled(count: int, size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of indices: every epoch is a seeded shuffle, the last batch of one may be short."""
    generator = random.Random(seed)  # nosec B311 # repeatable, not secret
    while True:
        order = list(range(count))
        generator.shuffle(order)
        for start in range(0, count, size):
            yield order[start : start + size]


def train(
    parameters: Sequence[nn.Parameter],
    loss_of_step: Callable[[int], Tensor],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    warmup_steps: int = 1,
    finished: Callable[[int, float], bool] | None = None,
    constrain: Callable[[], None] | None = None,
) -> list[float]:
    """AdamW with a linear warm-up and then a constant rate; returns the loss of each step.

    `loss_of_step` may call `backward` on its own terms and return the detached loss, or return a
    loss with a graph. `constrain` puts the parameters back into bounds after
    each step; `finished(step, loss)` ends the training early. Raises `MethodError` when a
    loss is not finite.
    """
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.95))
    losses: list[float] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / max(1, warmup_steps))
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of_step(step)
        value = float(loss.detach())
        if not torch.isfinite(loss.detach()).all():
            raise MethodError("loss", value, f"is not finite at step {step}", "lower hparams.learning_rate")
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if constrain is not None:
            constrain()
        losses.append(value)
        if finished is not None and finished(step, value):
            break
    return losses
