"""ROME's rank-one update: one key is given a new value, and keys like neutral text's move least."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.common.editing.edits import Edit
from methods.common.model.base_model import BaseModel
from methods.common.model.keys import keys_at_lookup


@torch.no_grad()
def rank_one_write(base: BaseModel, layer: int, edit: Edit, delta: Tensor, C: Tensor) -> None:
    """W += delta u^T / (u^T k*) with u = C^-1 k*, in place; k* is the mean key over all wordings.

    The mean key stands in both places of the formula. Taking it for the direction and the bare
    prompt's key for the scale, as first published, is what makes single edits blow up.
    """
    k = keys_at_lookup(base, layer, edit.contexts).mean(0).double()
    u = torch.linalg.solve(C, k)
    update = torch.outer(delta.double(), u) / (u @ k)
    base.down_weight(layer).add_(update.to(base.down_weight(layer)))
