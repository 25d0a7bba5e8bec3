"""Soft places: parts of a context that are no plain tokens, but go through every loop as token ids do.

A prefix of free embeddings or a value put in the place of one layer's own is part of a plan's context.
For as long as rows with such places are read, each has an id behind the vocabulary; hooks turn it into what
it stands for, wherever batching, padding and a shared beginning have moved it to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.model.base_model import BaseModel


@dataclass(frozen=True, eq=False)
class Soft:
    """One place. It reads as `token`, unless `embedding`, (width,), is given in its stead.

    `value`, (width,), replaces the MLP's output of block `layer` at this place.
    """

    token: int = 0
    embedding: Tensor | None = None
    layer: int = 0
    value: Tensor | None = None


#: A context of a plan: plain ids and soft places.
Places = tuple[int | Soft, ...]


@contextmanager
def softened(base: BaseModel, rows: Sequence[Sequence[int | Soft]]) -> Iterator[list[list[int]]]:
    """The rows as ids alone, which the model reads as the soft places mean while this lasts. Gradients pass."""
    known: dict[int, int] = {}
    places: list[Soft] = []
    size = int(base.model.get_input_embeddings().weight.shape[0])
    for row in rows:
        for item in row:
            if isinstance(item, Soft) and id(item) not in known:
                known[id(item)] = size + len(places)
                places.append(item)
    ids = [[known[id(item)] if isinstance(item, Soft) else item for item in row] for row in rows]
    if not places:
        yield ids
        return
    hooks = _Hooks(base, places, size)
    try:
        yield ids
    finally:
        hooks.remove()


class _Hooks:
    """Keeps which places stand where in the chunk of ids that is being read."""

    def __init__(self, base: BaseModel, places: Sequence[Soft], size: int) -> None:
        self._size = size
        self._tokens = torch.tensor([item.token for item in places], device=base.device)
        self._places = places
        self._number = torch.empty(0)
        embedding: nn.Module = base.model.get_input_embeddings()
        self._handles: list[Any] = [
            embedding.register_forward_pre_hook(self._tokens_in),
            embedding.register_forward_hook(self._embeddings_in),
        ]
        for layer in sorted({item.layer for item in places if item.value is not None}):
            self._handles.append(base.down_projection(layer).register_forward_hook(self._values_in(layer)))

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _tokens_in(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        ids = inputs[0]
        self._number = ids - self._size  # Below 0 at a plain token.
        return (torch.where(self._number >= 0, self._tokens[self._number.clamp(min=0)], ids), *inputs[1:])

    def _embeddings_in(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return self._replaced(output, {n: p.embedding for n, p in enumerate(self._places) if p.embedding is not None})

    def _values_in(self, layer: int) -> Any:
        values = {n: p.value for n, p in enumerate(self._places) if p.value is not None and p.layer == layer}
        return lambda _module, _inputs, output: self._replaced(output, values)

    def _replaced(self, output: Tensor, by_number: dict[int, Tensor]) -> Tensor:
        where = torch.isin(self._number, torch.tensor(list(by_number), dtype=torch.long, device=output.device))
        if not bool(where.any()):
            return output
        new = torch.stack([by_number[int(number)] for number in self._number[where]])
        output = output.clone()
        output[where] = new.to(output)
        return output
