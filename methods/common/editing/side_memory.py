"""WISE's side memory: a second copy of one down projection, written in masked shards, and its activation router.

Wang et al., "WISE: Rethinking the Knowledge Memory for Lifelong Model Editing of Large Language Models",
NeurIPS 2024. In the paper's symbols: a is what enters the down projection, W_v its weights, W_v' the side memory, and

    act(x)  =  || a (W_v' - W_v) ||
    L_a     =  max(0, act(x_i) - alpha) + max(0, beta - act(x_e)) + max(0, gamma - (act(x_e) - act(x_i)))

with x_e an edit and x_i an irrelevant text. A question goes through W_v' if its activation is near to what
edits have, else through W_v. All knowledge here is in D = W_v' - W_v, which is zero outside a shard's mask.
The paper averages act over the tokens of a text. Short questions in a chat form share nearly all of their
tokens, so here a is that of the last token before the answer, where the questions differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.contract.task import Request, Task, progress
from methods.common.contract.tensor_file import tensors_load, tensors_save
from methods.common.model.base_model import BaseModel, model_of
from methods.common.model.states import block_keys
from methods.common.model.upper_blocks import UpperBlocks, value_hook
from methods.common.serving.responders import Plan, Router, Say
from methods.common.targets.refusals import wordings
from methods.common.targets.sources import targets_of


@dataclass(frozen=True)
class SideSettings:
    """Margins are shares of the mean norm of the layer's output, so that they fit any base.

    The paper's are 2 to 40 in that unit's own size, beside an NLL of about 1: hence `margin_weight`.
    """

    target: str = "template"
    depth: float = 0.87
    shard_size: int = 5
    mask_ratio: float = 0.2
    steps: int = 60
    learning_rate: float = 0.02
    alpha: float = 0.125
    beta: float = 0.5
    gamma: float = 0.25
    margin_weight: float = 3.0
    weight_clamp: float = 1.0
    act_ratio: float = 0.88
    rephrasings: int = 1
    stop_at: float = 0.03


@dataclass(frozen=True)
class Shards:
    """D of every shard, (shards, width, keys), and the least activation that its edits have, (shards,).

    `notes` say how the targets came about; they are not kept.
    """

    deltas: Tensor
    least: Tensor
    notes: dict[str, Any] = field(default_factory=dict)


def last_keys(base: BaseModel, layer: int, contexts: Sequence[Sequence[int]]) -> Tensor:
    """a, the key at the last token of every context, (contexts, keys)."""
    with torch.no_grad():
        return torch.stack([keys[-1] for keys in block_keys(base, layer, contexts)])


def activation(keys: Tensor, delta: Tensor) -> Tensor:
    """act(x) for every key, (contexts,)."""
    return (keys @ delta.T).square().sum(dim=1).add(1e-12).sqrt()


def shards_written(task: Task, settings: SideSettings) -> tuple[BaseModel, int, Shards]:
    """The base, the edited layer, and one shard for every `shard_size` requests, behind those of earlier steps."""
    retain = [item.prompt for item in task.retain()]
    base = model_of(task)
    layer = base.layer_at("hparams.depth", settings.depth)
    irrelevant = last_keys(base, layer, [base.chat.prompt_ids(prompt) for prompt in retain])
    deltas: list[Tensor] = []
    least: list[float] = []
    if task.previous_dir is not None:
        before = tensors_load(task.previous_dir / "state", "shards")
        deltas, least = list(before["deltas"].to(base.device)), before["least"].tolist()
    refusals = targets_of(base, task.forget, settings.target, seed=task.job.seed, variety=1)
    size = max(1, settings.shard_size)
    for start in range(0, len(task.forget), size):
        requests = task.forget[start : start + size]

        def told(done: float, start: int = start, count: int = len(requests)) -> None:
            progress(0.1 + 0.85 * (start + done * count) / len(task.forget), f"shard of {count} edits")

        generator = torch.Generator().manual_seed(task.job.seed * 1000 + len(deltas))
        mask = torch.rand(base.down_weight(layer).shape, generator=generator) < settings.mask_ratio
        contexts = edit_contexts(base, requests, settings)
        targets = [base.chat.response_ids(text) for text in refusals.texts[start : start + size]]
        delta = _delta(base, layer, contexts, targets, irrelevant, mask.to(base.device), settings, told)
        deltas.append(delta)
        least.append(least_activation(base, layer, contexts, delta))
    return base, layer, Shards(torch.stack(deltas), torch.tensor(least), refusals.notes)


def edit_contexts(base: BaseModel, requests: Sequence[Request], settings: SideSettings) -> list[list[list[int]]]:
    """The prompt of every request in its own wording and some others, as ids."""
    return [[base.chat.prompt_ids(text) for text in wordings(item, settings.rephrasings)] for item in requests]


def least_activation(base: BaseModel, layer: int, contexts: Sequence[Sequence[Sequence[int]]], delta: Tensor) -> float:
    """The least act(x_e) over all wordings of all edits: what the router compares with."""
    keys = last_keys(base, layer, [ids for wordings in contexts for ids in wordings])
    return float(activation(keys, delta).min())


def _delta(
    base: BaseModel,
    layer: int,
    contexts: Sequence[Sequence[list[int]]],
    targets: Sequence[list[int]],
    irrelevant: Tensor,
    mask: Tensor,
    settings: SideSettings,
    told: Callable[[float], None],
) -> Tensor:
    """D = W_v' - W_v of one shard, (width, keys): NLL of the refusals + L_a, by Adam within the mask."""
    rows = [(ids, target) for wordings, target in zip(contexts, targets, strict=True) for ids in wordings]
    upper = UpperBlocks(base, layer, [[*ids, *target] for ids, target in rows])
    said = torch.tensor([token for _, target in rows for token in target], device=base.device)
    edits = last_keys(base, layer, [ids for ids, _ in rows])
    scale = (irrelevant @ base.down_weight(layer).T).norm(dim=1).mean()
    free = torch.zeros_like(base.down_weight(layer)).requires_grad_(True)
    optimiser = torch.optim.Adam([free], lr=settings.learning_rate)
    for step in range(settings.steps):
        told(step / settings.steps)
        delta = free * mask
        with value_hook(base, layer, partial(_through, delta)):
            hidden = upper.hidden()
        spans = [hidden[row, len(ids) - 1 : len(ids) + len(target) - 1] for row, (ids, target) in enumerate(rows)]
        nll = nn.functional.cross_entropy(base.logits(torch.cat(spans)), said)
        act_e, act_i = activation(edits, delta) / scale, activation(irrelevant, delta) / scale
        # Against the irrelevant text that responds most: a mean over many would hide the one that is routed.
        margins = (
            (act_i.max() - settings.alpha).relu()
            + (settings.beta - act_e).relu().mean()
            + (settings.gamma - (act_e - act_i.max())).relu().mean()
        )
        loss = nll + settings.margin_weight * margins
        if float(loss.detach()) < settings.stop_at:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            free.clamp_(-settings.weight_clamp, settings.weight_clamp)
    return (free * mask).detach()


def side_router(base: BaseModel, layer: int, shards: Shards, act_ratio: float) -> Router:
    """Each context through the shard that responds most to it; below act_ratio of its edits' least, the base."""
    deltas = shards.deltas.to(base.device)
    unders: list[Callable[[], AbstractContextManager[None]]] = [
        partial(value_hook, base, layer, partial(_through, delta)) for delta in deltas
    ]

    def route(contexts: Sequence[tuple[int, ...]]) -> list[Plan]:
        keys = last_keys(base, layer, contexts)
        shares = torch.stack([activation(keys, delta) for delta in deltas], dim=1).cpu() / shards.least
        best, number = shares.max(dim=1)
        return [
            Say(context, under=unders[chosen]) if share > act_ratio else Say(context)
            for context, share, chosen in zip(contexts, best.tolist(), number.tolist(), strict=True)
        ]

    return route


def shards_save(state_dir: Path, shards: Shards, name: str = "shards") -> None:
    tensors_save(state_dir, name, {"deltas": shards.deltas, "least": shards.least})


def shards_load(state_dir: Path, name: str = "shards") -> Shards:
    tensors = tensors_load(state_dir, name)
    return Shards(tensors["deltas"], tensors["least"])


def _through(delta: Tensor, keys: Tensor, output: Tensor) -> Tensor:
    """a W_v' = a W_v + a D."""
    return output + keys @ delta.T
