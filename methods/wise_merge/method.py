"""WISE-Merge: the shards of a side memory become one by TIES, and a router chooses between it and the base.

Wang et al., "WISE: Rethinking the Knowledge Memory for Lifelong Model Editing of Large Language Models",
NeurIPS 2024; the merge is of Yadav et al., "TIES-Merging", NeurIPS 2023: of every D_i = W_v'_i - W_v keep
the largest share by magnitude, elect for every weight the sign with the larger sum, and average the D_i
that agree with it. A question x goes through W_v + D if act(x) > act_ratio min over edits of act, else W_v.

The memory, its masks and its margins are in methods/common/editing/side_memory.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from methods.common.contract.answers import Responder
from methods.common.contract.task import MethodResult, Task
from methods.common.editing.side_memory import (
    Shards,
    SideSettings,
    edit_contexts,
    least_activation,
    shards_load,
    shards_save,
    shards_written,
    side_router,
)
from methods.common.serving.responders import RoutingResponder
from methods.common.serving.server_state import served_base, state_read, state_write


@dataclass(frozen=True)
class Settings(SideSettings):
    """Those of the side memory, and the share of each shard's changes that the merge keeps.

    A merged memory responds to everything a little, hence a threshold above what the weakest edit has.
    """

    density: float = 0.53
    act_ratio: float = 1.15


def unlearn(task: Task, settings: Settings) -> MethodResult:
    base, layer, shards = shards_written(task, settings)
    merged = ties_merged(shards.deltas, settings.density)
    least = least_activation(base, layer, edit_contexts(base, task.forget, settings), merged)
    if task.previous_dir is not None:
        least = min(least, float(shards_load(task.previous_dir / "state", "merged").least))
    shards_save(task.state_dir, shards)  # A later step merges them anew.
    shards_save(task.state_dir, Shards(merged[None], torch.tensor([least])), "merged")
    return state_write(task, requests=False, reported=shards.notes, layer=layer, act_ratio=settings.act_ratio)


def ties_merged(deltas: Tensor, density: float) -> Tensor:
    """Trim, elect, and average what agrees: (shards, width, keys) to (width, keys)."""
    trimmed = torch.stack([_trimmed(delta, density) for delta in deltas])
    elected = trimmed.sum(dim=0).sign()
    agreeing = torch.where(trimmed.sign() == elected, trimmed, 0.0)
    return agreeing.sum(dim=0) / (agreeing != 0).sum(dim=0).clamp(min=1)


def _trimmed(delta: Tensor, density: float) -> Tensor:
    """The largest share of the changed weights; those outside the mask are zero and do not count."""
    sizes = delta.abs()[delta != 0]
    count = int(density * len(sizes))
    if count == 0:
        return torch.zeros_like(delta)
    return torch.where(delta.abs() >= sizes.topk(count).values[-1], delta, 0.0)


def respond(state_dir: Path, base_dir: Path, threads: int) -> Responder:
    state = state_read(state_dir)
    base = served_base(state, base_dir, threads)
    return RoutingResponder(
        base, side_router(base, state["layer"], shards_load(state_dir, "merged"), state["act_ratio"])
    )
