"""What one block holds at every token of some texts: its MLP's keys and the states behind it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from methods.common.model.base_model import BaseModel, padded
from methods.common.model.keys import forward_watched, watched


def block_states(base: BaseModel, layer: int, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """The states behind block `layer`, one tensor (tokens, width) a row, with their gradients."""
    caught: list[Tensor] = []
    with watched(base, {}, {layer: caught.append}):
        return _seen(base, caught, rows)


def block_keys(base: BaseModel, layer: int, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """The inputs of the down projection of block `layer`, one tensor (tokens, keys) a row."""
    caught: list[Tensor] = []
    with watched(base, {layer: caught.append}, {}):
        return _seen(base, caught, rows)


def _seen(base: BaseModel, caught: list[Tensor], rows: Sequence[Sequence[int]]) -> list[Tensor]:
    forward_watched(base, *padded(rows, base.pad_id))
    return [caught[0][index, : len(row)] for index, row in enumerate(rows)]


def own_part(row: Sequence[int], others: Sequence[Sequence[int]]) -> int:
    """The first position at which `row` has parted from every one of `others`.

    A causal model has the very same states before it, in the template's tokens as in "What is the
    capital of": they cannot be moved in one text and stay in another. At least 1: position 0 carries
    a massive activation, a norm ten to thirty times that of any other token.
    """
    shared = 0
    for other in others:
        common = 0
        while common < min(len(row), len(other)) and row[common] == other[common]:
            common += 1
        shared = max(shared, common)
    return max(1, min(shared, len(row) - 1))
