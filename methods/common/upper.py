"""The upper part of a forward pass, run again and again while something in it is searched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.model import BaseModel, padded


class UpperBlocks:
    """The blocks from `layer` on, run again and again over the same rows; those below are computed once."""

    def __init__(self, base: BaseModel, layer: int, rows: Sequence[Sequence[int]]) -> None:
        self._base = base
        self._lower = base.layers[:layer]
        ids, mask = padded(rows, base.pad_id)
        self._inputs = {"input_ids": ids.to(base.device), "attention_mask": mask.to(base.device)}
        kept: dict[str, Any] = {}
        block = base.layers[layer]
        handles = (
            block.register_forward_pre_hook(
                lambda _module, args, kwargs: kept.update(below=args[0] if args else kwargs["hidden_states"]),
                with_kwargs=True,
            ),
            block.register_forward_hook(
                lambda _module, _inputs, output: kept.update(in_tuple=isinstance(output, tuple))
            ),
        )
        try:
            with torch.no_grad():
                base.trunk(**self._inputs, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        below = kept["below"].detach()
        self._handed_on = (below, None) if kept["in_tuple"] else below

    def hidden(self) -> Tensor:
        """Last hidden states, (rows, longest, width), under whatever hooks the caller has set on the upper blocks."""
        with handing_on(self._lower, self._handed_on):
            states: Tensor = self._base.trunk(**self._inputs, use_cache=False).last_hidden_state
        return states


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
