"""Key-value caches of the engine: a prefix that all rows share, and rows that are written at any place."""

from __future__ import annotations

from collections.abc import Sequence
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


class _SlotLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer of a `SlotCache`: (rows, heads, room, dim), zero where nothing was written yet."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, cache: SlotCache, prefix: KeyValues | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cache = cache
        self.prefix = prefix

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> KeyValues:
        if not self.is_initialized:
            self.keys, self.values = (
                new.new_zeros((self.cache.rows, new.shape[1], self.cache.room + 1, new.shape[-1]))
                for new in (key_states, value_states)
            )
            if self.prefix is not None:
                past = self.prefix[0].shape[-2]
                self.keys[:, :, :past], self.values[:, :, :past] = self.prefix
            self.is_initialized = True
        cache = self.cache
        if cache.run is not None:
            self.keys[cache.run], self.values[cache.run] = key_states, value_states
        else:
            self.keys[cache.at[0], :, cache.at[1]] = key_states.transpose(1, 2)
            self.values[cache.at[0], :, cache.at[1]] = value_states.transpose(1, 2)
        return self.keys[cache.seen], self.values[cache.seen]

    def get_seq_length(self) -> int:
        return int(self.cache.seen[2].stop or 0)


class SlotCache(Cache):
    """A cache of `rows` rows with `room` positions each, which are written at any place: a step copies nothing that
    came before, and what was written of a wrong guess is written over. Position `room` takes what is padding.
    """

    def __init__(self, layers: int, rows: int, room: int, prefix: list[KeyValues] | None) -> None:
        self.rows, self.room = rows, room
        #: Where the next pass writes: rows (N, 1) and positions (N, W); and what it sees of the buffers.
        self.at: tuple[torch.Tensor, torch.Tensor] = (torch.empty(0), torch.empty(0))
        self.seen: tuple[slice | torch.Tensor, slice, slice] = (slice(0), slice(None), slice(0))
        #: The same where all rows write side by side, which is much faster.
        self.run: tuple[slice, slice, slice] | None = None
        self._slots = [_SlotLayer(self, prefix[i] if prefix else None) for i in range(layers)]
        super().__init__(layers=list(self._slots))

    def aim(self, rows: Sequence[int], positions: torch.Tensor, length: int, begin: int | None = None) -> None:
        """The next pass is of these rows, at `positions` (N, W), and sees `length` positions. `begin`: where all rows
        begin alike. Rows that do not stand side by side are copied to be seen.
        """
        numbers = torch.tensor(rows, device=positions.device)
        beside = list(rows) == list(range(rows[0], rows[0] + len(rows)))
        chosen = slice(rows[0], rows[0] + len(rows)) if beside else numbers
        stop = None if begin is None else begin + positions.shape[1]
        whole = beside and stop is not None and stop <= self.room
        self.run = (slice(rows[0], rows[0] + len(rows)), slice(None), slice(begin, stop)) if whole else None
        self.at = (numbers[:, None], positions)
        self.seen = (chosen, slice(None), slice(length))

    def move(self, source: int, target: int, length: int) -> None:
        """Put the first `length` positions of one row into another."""
        for layer in self._slots:
            for buffer in (layer.keys, layer.values):
                buffer[target, :, :length] = buffer[source, :, :length]

    def repeat(self, first: int, rows: int, times: int) -> None:
        """Put each of `rows` rows from `first` on `times` times, side by side from there on."""
        for layer in self._slots:
            for buffer in (layer.keys, layer.values):
                found = buffer[first : first + rows].repeat_interleave(times, 0)
                buffer[first : first + rows * times] = found


def prefix_cache(prefix: list[KeyValues]) -> Cache:
    """A cache that only puts a prefix before each row's own keys and values."""
    return Cache(layers=[_PrefixLayer(keys, values) for keys, values in prefix])
