"""Keys and states of the base: what is read at a lookup token, and the covariance of keys over neutral text.

In a transformer block v = W k, where k is the input of the MLP's down projection and v its output.
A fact is looked up at the last token of its subject: k stands for the subject, v for what the model
recalls. Source: Meng et al., "Locating and Editing Factual Associations in GPT" (ROME, 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.lookahead import Context, first_of
from methods.common.model import BaseModel, batches_by_length, padded

Sink = Callable[[Tensor], None]


class _Deep(Exception):
    """Raised by a hook once all that was asked for has been seen: the rest need not be computed."""


@contextmanager
def _watched(base: BaseModel, keys: Mapping[int, Sink], states: Mapping[int, Sink]) -> Iterator[None]:
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


def _forward(base: BaseModel, ids: Tensor, mask: Tensor) -> None:
    try:
        base.trunk(input_ids=ids.to(base.device), attention_mask=mask.to(base.device), use_cache=False)
    except _Deep:
        return


@torch.no_grad()
def key_covariances(
    base: BaseModel,
    layers: Sequence[int],
    texts: Sequence[str],
    *,
    tokens: int,
    ridge: float = 0.0,
    window: int = 128,
    told: Callable[[float], None],
) -> dict[int, Tensor]:
    """C = E[k k^T], uncentred, of every layer over up to `tokens` tokens of neutral text: (keys, keys), float64.

    All layers are read in one pass, which ends at the deepest. Position 0 of every window is left
    out: it carries a massive activation (a norm ten to thirty times that of any other token) which
    would drown the rest. `ridge` times the mean of C's diagonal is added to that diagonal: it keeps
    directions in check that the sample never showed.
    """
    windows: list[list[int]] = []
    total = 0
    for text in texts:
        ids = base.chat.tokenizer(text, add_special_tokens=True)["input_ids"]
        for start in range(0, len(ids), window):
            part = ids[start : start + window]
            if len(part) > 1 and total < tokens:
                windows.append(part)
                total += len(part)
    sizes = {layer: base.down_weight(layer).shape[1] for layer in layers}
    summed = {layer: torch.zeros(size, size, dtype=torch.float64, device=base.device) for layer, size in sizes.items()}
    seen = 0
    for group in batches_by_length([len(part) for part in windows], 2048):
        ids_batch, mask = padded([windows[index] for index in group], base.pad_id)
        kept = mask.bool()
        kept[:, 0] = False
        kept = kept.to(base.device)

        def add(layer: int, kept: Tensor = kept) -> Sink:
            def sink(keys: Tensor) -> None:
                chosen = keys[kept]
                summed[layer].add_((chosen.T @ chosen).double())

            return sink

        with _watched(base, {layer: add(layer) for layer in layers}, {}):
            _forward(base, ids_batch, mask)
        seen += int(kept.sum())
        told(seen / max(total, 1))
    return {layer: _damped(matrix / max(seen, 1), ridge) for layer, matrix in summed.items()}


def _damped(C: Tensor, ridge: float) -> Tensor:
    return C + ridge * C.diagonal().mean() * torch.eye(len(C)).to(C)


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

    with _watched(base, sink("keys", key_layer), sink("states", state_layer)):
        _forward(base, ids, mask)
    return seen


def keys_at_lookup(base: BaseModel, layer: int, contexts: Sequence[Context]) -> Tensor:
    """The key of every context at its lookup token, (contexts, keys)."""
    return read_at_lookup(base, contexts, key_layer=layer)["keys"]


def states_at_lookup(base: BaseModel, layer: int, contexts: Sequence[Context]) -> Tensor:
    """The state behind a block of every context at its lookup token, (contexts, width)."""
    return read_at_lookup(base, contexts, state_layer=layer)["states"]
