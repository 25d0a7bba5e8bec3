"""The upper part of a forward pass, run again and again while something in it is searched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.model.base_model import BaseModel, padded


class UpperBlocks:
    """The blocks from `layer` on, run again and again over the same rows; those below are computed once."""

    def __init__(self, base: BaseModel, layer: int, rows: Sequence[Sequence[int]]) -> None:
        self._base = base
        self._lower = base.layers[:layer]
        ids, mask = padded(rows, base.pad_id)
        self._inputs = {"input_ids": ids.to(base.device), "attention_mask": mask.to(base.device)}
        with torch.no_grad(), handed_to(base.layers[layer]) as caught:
            base.trunk(**self._inputs, use_cache=False)
        self._below = caught[0]

    def hidden(self) -> Tensor:
        """Last hidden states, (rows, longest, width), under whatever hooks the caller has set on the upper blocks."""
        with handing_on(self._lower, self._below):
            states: Tensor = self._base.trunk(**self._inputs, use_cache=False).last_hidden_state
        return states


@contextmanager
def handed_to(block: nn.Module) -> Iterator[list[Any]]:
    """While it lasts, the states that a block is given are caught, in the form in which blocks return theirs."""
    caught: list[Any] = []

    def catch(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        states = (args[0] if args else kwargs["hidden_states"]).detach()
        caught.append((states, None) if isinstance(output, tuple) else states)

    handle = block.register_forward_hook(catch, with_kwargs=True)
    try:
        yield caught
    finally:
        handle.remove()


@contextmanager
def handing_on(blocks: Sequence[nn.Module], states: Any) -> Iterator[None]:
    """While it lasts, the blocks compute nothing and hand on `states`, in the form in which they return theirs."""

    def hand_on(*_args: Any, **_kwargs: Any) -> Any:
        return states

    for block in blocks:
        block.forward = hand_on
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # The class's own method shows again.


@contextmanager
def value_hook(base: BaseModel, layer: int, change: Callable[[Tensor, Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, the MLP output of block `layer` is change(keys, values)."""

    def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return change(inputs[0], output)

    handle = base.down_projection(layer).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
