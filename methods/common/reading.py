"""States inside the base, read off a forward pass that ends where they are read, or that starts there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.model import BaseModel, batches_by_length, padded

_TOKENS_PER_BATCH = 2048


class _Deep(Exception):
    """Raised by a hook once the module of interest has been reached: the rest need not be computed."""


@torch.no_grad()
def states_entering(base: BaseModel, module: nn.Module, rows: Sequence[Sequence[int]]) -> list[Tensor]:
    """What enters `module` at every token of every row: one (time, width) tensor a row."""
    seen: list[Tensor] = []

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])
        raise _Deep

    found: list[Tensor] = [torch.empty(0)] * len(rows)
    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        for group in batches_by_length([len(row) for row in rows], _TOKENS_PER_BATCH):
            ids, mask = padded([rows[index] for index in group], base.pad_id)
            try:
                base.trunk(input_ids=ids.to(base.device), attention_mask=mask.to(base.device), use_cache=False)
            except _Deep:
                states = seen.pop()
            for place, index in enumerate(group):
                found[index] = states[place, : len(rows[index])].detach().clone()
    finally:
        handle.remove()
    return found


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
        with self._lower_skipped():
            states: Tensor = self._base.trunk(**self._inputs, use_cache=False).last_hidden_state
        return states

    @contextmanager
    def _lower_skipped(self) -> Iterator[None]:
        def hand_on(*_args: Any, **_kwargs: Any) -> Any:
            return self._handed_on

        for block in self._lower:
            block.forward = hand_on
        try:
            yield
        finally:
            for block in self._lower:
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
