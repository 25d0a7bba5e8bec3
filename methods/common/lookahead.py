"""The part of a forward pass that a change of one value can reach, run again and again at low cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.model import BaseModel, padded


@dataclass(frozen=True)
class Context:
    """Token ids of one prompt and the place where the fact is looked up."""

    ids: tuple[int, ...]
    lookup: int


class Lookahead:
    """Several prompts, each cut at its lookup token: the head is computed once, the tail at every call.

    Rows are (context, continuation). A change `delta` of the MLP value at the lookup token of block
    `layer` can reach neither the tokens before it nor the blocks below. So of the head only the
    attention's keys and values are kept, and of the lower blocks only the state that they hand on.

    `value` is the present value at the first row's lookup, (width,). `answer_from[row]` is the tail
    position whose state predicts the first token of the continuation, `last[row]` the tail's last.
    """

    def __init__(self, base: BaseModel, layer: int, rows: Sequence[tuple[Context, tuple[int, ...]]]) -> None:
        self._base = base
        self._layer = layer
        heads = [context.ids[: context.lookup] for context, _ in rows]
        tails = [context.ids[context.lookup :] + continuation for context, continuation in rows]
        self.answer_from = [len(context.ids) - 1 - context.lookup for context, _ in rows]
        self.last = [len(tail) - 1 for tail in tails]
        head_ids, head_mask = padded(heads, base.pad_id, left=True)
        tail_ids, tail_mask = padded(tails, base.pad_id)
        width = head_ids.shape[1]
        mask = torch.cat([head_mask, tail_mask], dim=1).to(base.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        self._tail = {
            "input_ids": tail_ids.to(base.device),
            "attention_mask": mask,
            "position_ids": positions[:, width:],
        }
        head = {
            "input_ids": head_ids.to(base.device),
            "attention_mask": mask[:, :width],
            "position_ids": positions[:, :width],
        }
        with torch.no_grad():
            self._kept = self._head_attention(head)
            self.value, self._below, self._in_tuple = self._first_run()

    def hidden(self, delta: Tensor) -> Tensor:
        """Last hidden states of the tails, (rows, tail, width), with `delta` added to the value."""

        def add(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            at_lookup = torch.zeros_like(output[:, :, :1])
            at_lookup[:, 0] = 1.0
            return output + at_lookup * delta

        handle = self._base.down_projection(self._layer).register_forward_hook(add)
        try:
            with self._lower_blocks_skipped():
                return self._run()
        finally:
            handle.remove()

    def _head_attention(self, head: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        from transformers import DynamicCache

        cache = DynamicCache(config=self._base.model.config)
        self._base.trunk(**head, past_key_values=cache, use_cache=True)
        kept: list[Any] = list(cache.layers)
        return [(layer.keys, layer.values) for layer in kept]

    def _run(self) -> Tensor:
        from transformers import DynamicCache

        # A cache grows as it is used: every pass gets a fresh one around the same kept tensors.
        cache = DynamicCache(config=self._base.model.config)
        for index, (keys, values) in enumerate(self._kept):
            cache.update(keys, values, index)
        hidden: Tensor = self._base.trunk(**self._tail, past_key_values=cache, use_cache=True).last_hidden_state
        return hidden

    def _first_run(self) -> tuple[Tensor, Tensor, bool]:
        """The value at the lookup, the input of the edited block, and whether blocks return tuples."""
        seen: dict[str, Any] = {}
        block = self._base.layers[self._layer]
        with ExitStack() as stack:
            for handle in (
                self._base.down_projection(self._layer).register_forward_hook(
                    lambda _module, _inputs, output: seen.update(value=output[0, 0].detach().clone())
                ),
                block.register_forward_pre_hook(
                    lambda _module, args, kwargs: seen.update(below=args[0] if args else kwargs["hidden_states"]),
                    with_kwargs=True,
                ),
                block.register_forward_hook(
                    lambda _module, _inputs, output: seen.update(in_tuple=isinstance(output, tuple))
                ),
            ):
                stack.callback(handle.remove)
            self._run()
        return seen["value"], seen["below"].detach(), seen["in_tuple"]

    @contextmanager
    def _lower_blocks_skipped(self) -> Iterator[None]:
        """Let every block below the edited one hand on the kept state instead of computing it."""

        def hand_on(*_args: Any, **_kwargs: Any) -> Any:
            return (self._below, None) if self._in_tuple else self._below

        blocks = self._base.layers[: self._layer]
        for block in blocks:
            block.forward = hand_on
        try:
            yield
        finally:
            for block in blocks:
                del block.forward  # The class's own method shows again.
