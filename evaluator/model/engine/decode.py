"""Greedy decoding in large batches: the shared prefix once, finished rows dropped, the cache written in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from evaluator.model.engine.pack import common_prefix
from evaluator.model.engine.trunk import Trunk, additive

#: Memory that the keys and values of one batch may take.
CACHE_BYTES = 2**30
#: Finished rows are dropped together when they are this share of the batch.
DROPPED_SHARE = 0.125


def decode(
    trunk: Trunk,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    ends: Callable[[list[int]], bool],
    stop_ids: frozenset[int],
    share: bool,
    choose: Callable[[torch.Tensor], torch.Tensor] | None = None,
    repeat: int = 1,
) -> list[list[int]]:
    """Continuations of the prompts of one batch, without the stop token: greedy ones, unless `choose` says which token
    follows each of the last states (R, hidden), as (R,). Of each prompt `repeat` ones, side by side.

    `ends(tokens)` says whether a continuation is complete (a stop string came). `share`: compute the common prefix
    of the prompts once, under our own mask; otherwise the plain way that suits every model.
    """
    prefix = common_prefix(prompts, min(len(p) for p in prompts) - 1) if share and len(prompts) > 1 else ()
    past, width = len(prefix), max(len(p) for p in prompts) - len(prefix)
    ids = torch.zeros((len(prompts), width), dtype=torch.long)
    # A row of `seen` is True where the row has a token: the prefix, then its own, padded on the left.
    seen = torch.zeros((len(prompts), past + width + max_tokens), dtype=torch.bool)
    seen[:, :past] = True
    for row, prompt in enumerate(prompts):
        own = list(prompt[past:])
        ids[row, width - len(own) :] = torch.tensor(own)
        seen[row, past + width - len(own) : past + width] = True
    positions = (seen[:, : past + width].cumsum(-1) - 1).clamp(min=0)[:, past:]
    length = past + width
    cache: Any = trunk.decoding_cache(length + max_tokens, prefix) if share else DynamicCache(config=trunk.model.config)
    done: list[list[int]] = [[] for _ in range(len(prompts) * repeat)]
    alive = list(range(len(done)))
    open_ = [True] * len(done)
    for step in range(max_tokens):
        mask: torch.Tensor = seen[:, :length].long()
        if share:
            allowed = seen[:, None, None, :length].expand(-1, 1, ids.shape[1], -1)
            if step == 0:
                allowed = allowed & torch.ones(ids.shape[1], length, dtype=torch.bool).tril(past)
            mask = additive(allowed.to(trunk.device), trunk.dtype)
        out = trunk.model.base_model(
            input_ids=ids.to(trunk.device),
            attention_mask=mask.to(trunk.device),
            position_ids=positions.to(trunk.device),
            past_key_values=cache,
            use_cache=True,
        )
        states = out.last_hidden_state[:, -1]
        if step == 0 and repeat > 1:
            rows = torch.arange(len(prompts)).repeat_interleave(repeat)
            cache.batch_select_indices(rows)
            states, seen, positions = states[rows.to(states.device)], seen[rows], positions[rows]
        chosen = (choose or trunk.head.best)(states).cpu()
        for row, token in enumerate(chosen.tolist()):
            if not open_[row]:
                continue
            if token in stop_ids:
                open_[row] = False
                continue
            done[alive[row]].append(token)
            open_[row] = not ends(done[alive[row]])
        if not any(open_):
            break
        keep = [row for row, is_open in enumerate(open_) if is_open]
        if len(open_) - len(keep) >= DROPPED_SHARE * len(open_):
            rows = torch.tensor(keep)
            cache.batch_select_indices(rows)
            seen, positions, chosen = seen[rows], positions[rows], chosen[rows]
            alive = [alive[row] for row in keep]
            open_ = [True] * len(keep)
        seen[:, length] = True
        length += 1
        ids, positions = chosen[:, None], positions[:, -1:] + 1
    return done
