"""The part of a forward pass that a change at one token can reach, run again and again at low cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from methods.common.model.base_model import BaseModel, padded
from methods.common.model.upper_blocks import handed_to, handing_on

#: Where a change is added: to the value (the MLP's output) or to the state (the block's output).
Site = Literal["value", "state"]


@dataclass(frozen=True, eq=False)
class Context:
    """Token ids of one prompt and the place where the fact is looked up.

    `held` are changes that are already decided, (place, change), at places before the lookup.
    """

    ids: tuple[int, ...]
    lookup: int
    held: tuple[tuple[int, Tensor], ...] = ()

    def continued(self, ids: tuple[int, ...], delta: Tensor) -> Context:
        """The prompt with more text behind it, looked up at its new last token; `delta` is held where it was."""
        longer = self.ids + ids
        return Context(longer, len(longer) - 1, (*self.held, (self.lookup, delta)))


class Lookahead:
    """Several prompts, each cut at its lookup token: the head is computed once, the tail at every call.

    Rows are (context, continuation). A change `delta` at the lookup token of block `layer` can reach
    neither the tokens before it nor the blocks below. So of the head only the attention's keys and
    values are kept, and of the lower blocks only the state that they hand on.

    `present` is what stands at every row's lookup now, (rows, width). `answer_from[row]` is the tail
    position whose state predicts the first token of the continuation, `last[row]` the tail's last.
    """

    def __init__(
        self, base: BaseModel, layer: int, rows: Sequence[tuple[Context, tuple[int, ...]]], site: Site = "value"
    ) -> None:
        self._base = base
        self._layer = layer
        self._module = base.down_projection(layer) if site == "value" else base.layers[layer]
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
        held = [
            (row, width - context.lookup + place, change)
            for row, (context, _) in enumerate(rows)
            for place, change in context.held
        ]
        with torch.no_grad():
            self._kept = self._head_attention(head, held)
            self.present, self._below = self._first_run()

    def hidden(self, delta: Tensor) -> Tensor:
        """Last hidden states of the tails, (rows, tail, width), with `delta` added at every lookup."""

        def add(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            at_lookup = torch.zeros_like(first_of(output)[:, :, :1])
            at_lookup[:, 0] = 1.0
            return _with_first(output, first_of(output) + at_lookup * delta)

        handle = self._module.register_forward_hook(add)
        try:
            with handing_on(self._base.layers[: self._layer], self._below):
                return self._run()
        finally:
            handle.remove()

    def _head_attention(
        self, head: dict[str, Tensor], held: Sequence[tuple[int, int, Tensor]]
    ) -> list[tuple[Tensor, Tensor]]:
        from transformers import DynamicCache  # noqa: PLC0415 - loads transformers

        def add(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            changed = first_of(output).clone()
            for row, place, change in held:
                changed[row, place] += change
            return _with_first(output, changed)

        cache = DynamicCache(config=self._base.model.config)
        handle = self._module.register_forward_hook(add)
        try:
            self._base.trunk(**head, past_key_values=cache, use_cache=True)
        finally:
            handle.remove()
        kept: list[Any] = list(cache.layers)
        return [(layer.keys, layer.values) for layer in kept]

    def _run(self) -> Tensor:
        from transformers import DynamicCache  # noqa: PLC0415 - loads transformers

        # A cache grows as it is used: every pass gets a fresh one around the same kept tensors.
        cache = DynamicCache(config=self._base.model.config)
        for index, (keys, values) in enumerate(self._kept):
            cache.update(keys, values, index)
        hidden: Tensor = self._base.trunk(**self._tail, past_key_values=cache, use_cache=True).last_hidden_state
        return hidden

    def _first_run(self) -> tuple[Tensor, Any]:
        """What stands at the lookups, and the states that the edited block is given, as blocks return them."""
        present: list[Tensor] = []
        handle = self._module.register_forward_hook(
            lambda _module, _inputs, output: present.append(first_of(output)[:, 0].detach().clone())
        )
        try:
            with handed_to(self._base.layers[self._layer]) as caught:
                self._run()
        finally:
            handle.remove()
        return present[0], caught[0]


def first_of(output: Any) -> Tensor:
    """The states of a module's output: some families hand on a tuple."""
    states: Tensor = output[0] if isinstance(output, tuple) else output
    return states


def _with_first(output: Any, states: Tensor) -> Any:
    return (states, *output[1:]) if isinstance(output, tuple) else states
