"""What one block holds at every token of some texts: its MLP's keys and the states behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from methods.common.model import BaseModel, padded


class _Reached(Exception):
    """Raised by a hook once the block has been reached: the rest need not be computed."""


def block_states(base: BaseModel, layer: int, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """The states behind block `layer`, one tensor (tokens, width) a row, with their gradients."""

    def catch(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        found: Tensor = output[0] if isinstance(output, tuple) else output
        return found

    return _seen(base, base.layers[layer], catch, rows)


def block_keys(base: BaseModel, layer: int, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """The inputs of the down projection of block `layer`, one tensor (tokens, keys) a row."""

    def catch(_module: nn.Module, inputs: tuple[Tensor, ...], _output: Any) -> Tensor:
        return inputs[0]

    return _seen(base, base.down_projection(layer), catch, rows)


def _seen(base: BaseModel, module: nn.Module, catch: Any, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    caught: list[Tensor] = []

    def hook(*seen: Any) -> None:
        caught.append(catch(*seen))
        raise _Reached

    ids, mask = padded(rows, base.pad_id)
    handle = module.register_forward_hook(hook)
    try:
        base.trunk(input_ids=ids.to(base.device), attention_mask=mask.to(base.device), use_cache=False)
    except _Reached:
        pass
    finally:
        handle.remove()
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
