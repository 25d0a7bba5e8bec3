"""Writing many values at once: the residual of a batch of edits, spread over several layers.

Meng et al., "Mass-Editing Memory in a Transformer" (MEMIT), ICLR 2023, section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from methods.common.editing.values import ValueChange
from methods.common.model.base_model import BaseModel
from methods.common.model.keys import keys_at_lookup, read_at_lookup
from methods.common.model.partial_forward import Context

#: From a layer, its keys K (keys, n) and the share R (width, n) of the residual that it is to take up, float64,
#: to the update of its W, (width, keys).
Solve = Callable[[int, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Column:
    """One column of K and R: the wordings of a question, and the state z that stands for the new answer."""

    contexts: tuple[Context, ...]
    z: Tensor


def columns_of(questions: Sequence[tuple[Context, ...]], sought: ValueChange) -> list[Column]:
    """A column for each question of an edit: z = h + delta, both means over the question's wordings."""
    present = torch.split(sought.present, [len(contexts) for contexts in questions])
    return [Column(contexts, rows.mean(0) + sought.delta) for contexts, rows in zip(questions, present, strict=True)]


@torch.no_grad()
def spread(base: BaseModel, layers: Sequence[int], columns: Sequence[Column], solve: Solve) -> None:
    """Change W of every layer in turn so that the state behind the last of them becomes z, in place.

    Keys and residuals are read again before each layer, since the layers below have changed them.
    Each layer takes an equal share of what is left: r = (z - h) / (layers left).
    """
    contexts = [context for column in columns for context in column.contexts]
    z = torch.stack([column.z for column in columns])
    for place, layer in enumerate(layers):
        seen = read_at_lookup(base, contexts, key_layer=layer, state_layer=layers[-1])
        K, h = _means(seen["keys"], columns), _means(seen["states"], columns)
        R = (z - h) / (len(layers) - place)
        update = solve(layer, K.T.double(), R.T.double())
        base.down_weight(layer).add_(update.to(base.down_weight(layer)))


def keys_of(base: BaseModel, layer: int, columns: Sequence[Column]) -> Tensor:
    """K of one layer as it is now, (keys, n), float64."""
    contexts = [context for column in columns for context in column.contexts]
    return _means(keys_at_lookup(base, layer, contexts), columns).T.double()


def _means(rows: Tensor, columns: Sequence[Column]) -> Tensor:
    """From one row a context to one a column: the mean over its wordings."""
    return torch.stack([part.mean(0) for part in torch.split(rows, [len(column.contexts) for column in columns])])
