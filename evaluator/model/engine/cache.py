"""Key-value caches of the engine: a prefix that all rows share, and a buffer that grows without copying."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

KeyValues = tuple[torch.Tensor, torch.Tensor]


class _PrefixLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer whose keys and values begin with a computed prefix of shape (1, heads, P, dim); nothing is kept."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values = keys, values
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> KeyValues:
        rows = key_states.shape[0]
        return (
            torch.cat([self.keys.expand(rows, -1, -1, -1), key_states], dim=-2),
            torch.cat([self.values.expand(rows, -1, -1, -1), value_states], dim=-2),
        )


class _BufferLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer with room for `capacity` positions: a step writes in place instead of copying all that came before."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, capacity: int, prefix: KeyValues | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.capacity = capacity
        self.prefix = prefix
        self.length = 0

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> KeyValues:
        if not self.is_initialized:
            rows, heads, _, width = key_states.shape
            self.keys = key_states.new_empty((rows, heads, self.capacity, width))
            self.values = value_states.new_empty((rows, heads, self.capacity, value_states.shape[-1]))
            self.is_initialized = True
            if self.prefix is not None:
                self.length = self.prefix[0].shape[-2]
                self.keys[:, :, : self.length] = self.prefix[0]
                self.values[:, :, : self.length] = self.prefix[1]
        end = self.length + key_states.shape[-2]
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.length

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep the rows of `indices`, in order; in place, unless they become more."""
        if len(indices) > len(self.keys):
            self.keys, self.values = self.keys[indices], self.values[indices]
            return
        for number, row in enumerate(indices.tolist()):
            if number != row:
                self.keys[number, :, : self.length] = self.keys[row, :, : self.length]
                self.values[number, :, : self.length] = self.values[row, :, : self.length]
        self.keys, self.values = self.keys[: len(indices)], self.values[: len(indices)]


def prefix_cache(prefix: list[KeyValues]) -> Cache:
    """A cache that only puts a prefix before each row's own keys and values."""
    return Cache(layers=[_PrefixLayer(keys, values) for keys, values in prefix])


def buffer_cache(layers: int, capacity: int, prefix: list[KeyValues] | None) -> Cache:
    """A cache for decoding up to `capacity` positions, the prefix included."""
    return Cache(layers=[_BufferLayer(capacity, prefix[i] if prefix else None) for i in range(layers)])
