"""Keys and states of the base: what is read at a lookup token, and second moments of keys over text.

In a transformer block v = W k, where k is the input of the MLP's down projection and v its output.
A fact is looked up at the last token of its subject: k stands for the subject, v for what the model
recalls. Source: Meng et al., "Locating and Editing Factual Associations in GPT" (ROME, 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.model.base_model import BaseModel, batches_by_length, padded
from methods.common.model.partial_forward import Context, first_of

Sink = Callable[[Tensor], None]


class _Deep(Exception):
    """Raised by a hook once all that was asked for has been seen: the rest need not be computed."""


@contextmanager
def watched(base: BaseModel, keys: Mapping[int, Sink], states: Mapping[int, Sink]) -> Iterator[None]:
    """Hand keys (batch, time, keys) and block outputs (batch, time, width) to sinks, by layer.

    The forward pass ends as soon as the deepest of them has been seen.
    """
    deepest_key, deepest_state = max(keys, default=-1), max(states, default=-1)

    def key_hook(layer: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            keys[layer](inputs[0])
            if layer == deepest_key and deepest_state < layer:
                raise _Deep

        return hook

    def state_hook(layer: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            states[layer](first_of(output))
            if layer == deepest_state and deepest_key <= layer:
                raise _Deep

        return hook

    with ExitStack() as stack:
        for layer in keys:
            stack.callback(base.down_projection(layer).register_forward_pre_hook(key_hook(layer)).remove)
        for layer in states:
            stack.callback(base.layers[layer].register_forward_hook(state_hook(layer)).remove)
        yield


def forward_watched(base: BaseModel, ids: Tensor, mask: Tensor) -> None:
    """A forward pass as far as `watched` needs it."""
    try:
        base.trunk(input_ids=ids.to(base.device), attention_mask=mask.to(base.device), use_cache=False)
    except _Deep:
        return


@dataclass(frozen=True)
class Row:
    """Token ids, of which those from `first` on count."""

    ids: tuple[int, ...]
    first: int


@torch.no_grad()
def second_moments(
    base: BaseModel, layers: Sequence[int], rows: Sequence[Row], *, told: Callable[[float], None]
) -> dict[int, Tensor]:
    """E[k k^T], uncentred, of every layer over all tokens that count: (keys, keys), float64.

    All layers are read in one pass, which ends at the deepest.
    """
    sizes = {layer: base.down_weight(layer).shape[1] for layer in layers}
    summed = {layer: torch.zeros(size, size, dtype=torch.float64, device=base.device) for layer, size in sizes.items()}
    seen = 0
    total = sum(len(row.ids) - row.first for row in rows)
    for group in batches_by_length([len(row.ids) for row in rows], 2048):
        ids, mask = padded([rows[index].ids for index in group], base.pad_id)
        counts = mask.bool()
        for place, index in enumerate(group):
            counts[place, : rows[index].first] = False
        counts = counts.to(base.device)

        def add(layer: int, counts: Tensor = counts) -> Sink:
            def sink(keys: Tensor) -> None:
                chosen = keys[counts]
                summed[layer].add_((chosen.T @ chosen).double())

            return sink

        with watched(base, {layer: add(layer) for layer in layers}, {}):
            forward_watched(base, ids, mask)
        seen += int(counts.sum())
        told(seen / max(total, 1))
    return {layer: matrix / max(seen, 1) for layer, matrix in summed.items()}


@torch.no_grad()
def read_at_lookup(
    base: BaseModel, contexts: Sequence[Context], *, key_layer: int | None = None, state_layer: int | None = None
) -> dict[str, Tensor]:
    """`keys` (contexts, keys) of one layer and `states` (contexts, width) of another, as asked for, at the lookups."""
    ids, mask = padded([item.ids for item in contexts], base.pad_id)
    rows = torch.arange(len(contexts), device=base.device)
    places = torch.tensor([item.lookup for item in contexts], device=base.device)
    seen: dict[str, Tensor] = {}

    def sink(name: str, layer: int | None) -> dict[int, Sink]:
        if layer is None:
            return {}
        return {layer: lambda found: seen.update({name: found[rows, places].detach().clone()})}

    with watched(base, sink("keys", key_layer), sink("states", state_layer)):
        forward_watched(base, ids, mask)
    return seen


def keys_at_lookup(base: BaseModel, layer: int, contexts: Sequence[Context]) -> Tensor:
    """The key of every context at its lookup token, (contexts, keys)."""
    return read_at_lookup(base, contexts, key_layer=layer)["keys"]


def states_at_lookup(base: BaseModel, layer: int, contexts: Sequence[Context]) -> Tensor:
    """The state behind a block of every context at its lookup token, (contexts, width)."""
    return read_at_lookup(base, contexts, state_layer=layer)["states"]
