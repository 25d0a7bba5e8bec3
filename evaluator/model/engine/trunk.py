"""The trunk: one forward pass over a packed layout, with the shared prefix computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from evaluator.model.engine.cache import KeyValues, SlotCache, prefix_cache
from evaluator.model.engine.head import Head
from evaluator.model.engine.linear import linears_pack
from evaluator.model.engine.pack import Layout, Row

#: Prefixes whose keys and values are kept between calls (a system prompt, mostly).
KEPT_PREFIXES = 4


def shares_prompts(model: Any) -> bool:
    """Whether plain causal attention is all that a model has: only then may prompts be packed under our own mask."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    return kinds == {"full_attention"} and window is None and not getattr(config, "alibi", False)


def additive(allowed: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A boolean mask (True = may look) as the additive mask that every attention implementation takes."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, torch.finfo(dtype).min)


class Trunk:
    """A causal language model without its head; keeps the keys and values of a few shared prefixes.

    The model's linear layers are packed in place: it answers as before, but its matrices can't be written to any more.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        linears_pack(model.base_model)
        self.device: torch.device = next(model.parameters()).device
        self.dtype: torch.dtype = next(model.parameters()).dtype
        self.head = Head(model)
        #: Tokens that packed passes have computed so far, padding apart.
        self.computed = 0
        self._prefixes: dict[tuple[int, ...], list[KeyValues]] = {}

    def prefix(self, tokens: tuple[int, ...]) -> list[KeyValues] | None:
        """Keys and values of a prefix, one pair a layer, each (1, heads, P, dim); None for no tokens."""
        if not tokens:
            return None
        if tokens not in self._prefixes:
            while len(self._prefixes) >= KEPT_PREFIXES:
                self._prefixes.pop(next(iter(self._prefixes)))
            cache: Any = DynamicCache()
            self.model.base_model(
                input_ids=torch.tensor([tokens], device=self.device), past_key_values=cache, use_cache=True
            )
            self._prefixes[tokens] = [(layer.keys, layer.values) for layer in cache.layers]
        return self._prefixes[tokens]

    def rows(self, layout: Layout, chosen: Sequence[int]) -> torch.Tensor:
        """Hidden states of the chosen rows, (rows, longest, hidden); what lies behind a row's end means nothing."""
        rows = [layout.rows[i] for i in chosen]
        width, past = max(len(row) for row in rows), len(layout.prefix)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        positions = torch.zeros((len(rows), width), dtype=torch.long)
        allowed = torch.zeros((len(rows), width, past + width), dtype=torch.bool)
        allowed[:, :, :past] = True
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row.tokens)
            positions[number, : len(row)] = torch.tensor(row.depths)
            allowed[number, : len(row), past : past + len(row)] = _ancestors(row)
            # Padding looks at itself, so that no row of the mask is empty.
            rest = torch.arange(len(row), width)
            allowed[number, rest, past + rest] = True
        self.computed += sum(len(row) for row in rows)
        prefix = self.prefix(layout.prefix)
        out = self.model.base_model(
            input_ids=ids.to(self.device),
            position_ids=positions.to(self.device),
            attention_mask=additive(allowed[:, None].to(self.device), self.dtype),
            past_key_values=prefix_cache(prefix) if prefix else None,
            use_cache=prefix is not None,
        )
        states: torch.Tensor = out.last_hidden_state
        return states

    def padded(self, sequences: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
        """Hidden states of whole sequences, padded on the right: the plain way that suits every model."""
        width = max(len(tokens) for tokens in sequences)
        ids = torch.full((len(sequences), width), pad)
        mask = torch.zeros((len(sequences), width), dtype=torch.long)
        for number, tokens in enumerate(sequences):
            ids[number, : len(tokens)] = torch.tensor(list(tokens))
            mask[number, : len(tokens)] = 1
        out = self.model.base_model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device), use_cache=False)
        states: torch.Tensor = out.last_hidden_state
        return states

    def slots(self, rows: int, room: int, prefix: tuple[int, ...]) -> SlotCache:
        """A cache for decoding of so many rows with room for so many positions, which all begin with the prefix."""
        return SlotCache(self.model.config.get_text_config().num_hidden_layers, rows, room, self.prefix(prefix))

    def extend(
        self, cache: SlotCache, rows: Sequence[int], fed: Sequence[Sequence[int]], offsets: Sequence[int]
    ) -> torch.Tensor:
        """Hidden states (N, longest, hidden) of the tokens `fed` to N rows of the cache, each row's from its offset on;
        what lies behind a row's end means nothing.
        """
        width = max(map(len, fed))
        length = max(offset + len(tokens) for offset, tokens in zip(offsets, fed, strict=True))
        ids = torch.tensor([[*tokens, *[0] * (width - len(tokens))] for tokens in fed], device=self.device)
        sizes = torch.tensor([len(tokens) for tokens in fed], device=self.device)[:, None]
        step = torch.arange(width, device=self.device)[None]
        positions = torch.tensor(list(offsets), device=self.device)[:, None] + step
        real = step < sizes
        allowed = torch.arange(length, device=self.device) <= positions[:, :, None]
        begin = offsets[0] if len(set(offsets)) == 1 else None
        cache.aim(rows, torch.where(real, positions, cache.room), length, begin)
        out = self.model.base_model(
            input_ids=ids,
            position_ids=torch.where(real, positions, 0),
            attention_mask=additive(allowed[:, None], self.dtype),
            past_key_values=cache,
            use_cache=True,
        )
        states: torch.Tensor = out.last_hidden_state
        return states

    def bytes_per_token(self) -> int:
        """What one position of one row takes in the cache."""
        config = self.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(2 * config.num_hidden_layers * heads * width * self.dtype.itemsize)


def _ancestors(row: Row) -> torch.Tensor:
    """(S, S) booleans: a node sees itself and what comes before it in its own sequence."""
    seen = torch.eye(len(row), dtype=torch.bool)
    for node, parent in enumerate(row.parents):
        if parent >= 0:
            seen[node] |= seen[parent]
    return seen
