"""Reading the model: log-probabilities of given tokens and greedy continuations, both in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from methods.common.model import BaseModel, batches_by_length, common_length, padded, states_of
from methods.common.serving import TokenScores

#: Positions whose logits (positions x vocabulary, float32) are held at once: 512 x 50k is 100 MB.
_POSITIONS_AT_ONCE = 512
_TOKENS_PER_BATCH = 4096
_ROWS_PER_BATCH = 32


@torch.inference_mode()
def score_tokens(base: BaseModel, rows: Sequence[Sequence[int]]) -> list[TokenScores]:
    """Scores of every token of every row under the unmodified softmax (see `TokenScores`)."""
    scores: list[TokenScores | None] = [None] * len(rows)
    for group in batches_by_length([len(row) for row in rows], _TOKENS_PER_BATCH):
        hidden = states_of(base, [rows[index] for index in group])
        for place, index in enumerate(group):
            scores[index] = _row_scores(base, hidden[place, : len(rows[index])], rows[index])
    return [item for item in scores if item is not None]


def _row_scores(base: BaseModel, hidden: Tensor, row: Sequence[int]) -> TokenScores:
    """One row; hidden is (time, width), and its state at i is about token i + 1."""
    following = torch.tensor([*row[1:], 0], device=hidden.device)
    logprobs: list[float] = []
    top_ids: list[int] = []
    top_logprobs: list[float] = []
    for start in range(0, len(row), _POSITIONS_AT_ONCE):
        part = slice(start, start + _POSITIONS_AT_ONCE)
        logits = base.logits(hidden[part])
        norm = torch.logsumexp(logits, dim=-1)
        # argmax takes the lowest of equal ids, as greedy decoding does below.
        best = logits.argmax(dim=-1)
        # A soft place has an id behind the vocabulary. Its own score means nothing and is never sent.
        plain = following[part, None].clamp(max=logits.shape[-1] - 1)
        actual = logits.gather(-1, plain)[:, 0] - norm
        highest = logits.gather(-1, best[:, None])[:, 0] - norm
        logprobs += actual.tolist()
        top_ids += best.tolist()
        top_logprobs += highest.tolist()
    return TokenScores(
        logprobs=[None, *logprobs[:-1], top_logprobs[-1]], top_ids=[-1, *top_ids], top_logprobs=[None, *top_logprobs]
    )


@torch.inference_mode()
def continue_greedily(
    base: BaseModel,
    rows: Sequence[Sequence[int]],
    max_tokens: int,
    ended: Callable[[Sequence[int]], bool] | None = None,
) -> list[tuple[list[int], bool]]:
    """The greedy continuation of every row, and whether it ended by itself.

    A row ends at an end-of-turn token (not part of the result) or as soon as `ended(ids)` is true.
    Finished rows leave the batch, so a few long answers do not hold up the many short ones.
    """
    results: list[tuple[list[int], bool]] = [([], False) for _ in rows]
    order = sorted(range(len(rows)), key=lambda item: (len(rows[item]), item))
    for start in range(0, len(order), _ROWS_PER_BATCH):
        _continue_batch(base, rows, order[start : start + _ROWS_PER_BATCH], max_tokens, ended, results)
    return results


def _continue_batch(
    base: BaseModel,
    rows: Sequence[Sequence[int]],
    group: list[int],
    max_tokens: int,
    ended: Callable[[Sequence[int]], bool] | None,
    results: list[tuple[list[int], bool]],
) -> None:
    from transformers import DynamicCache

    # What all rows share (the system prompt of a chat form) is read once, before the padding.
    shared = common_length([rows[index] for index in group]) if len(group) > 1 else 0
    ids, mask = padded([rows[index][shared:] for index in group], base.pad_id, left=True)
    ids, mask = ids.to(base.device), mask.to(base.device)
    positions = shared + (mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=base.model.config)
    if shared:
        head = torch.tensor([list(rows[group[0]][:shared])], device=base.device)
        base.trunk(input_ids=head, past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(group))
        mask = torch.cat([mask.new_ones(len(group), shared), mask], dim=1)
    alive = list(group)
    for _ in range(max_tokens):
        hidden = base.trunk(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]
        chosen = base.logits(hidden).argmax(dim=-1)
        keep: list[int] = []
        for place, token in enumerate(chosen.tolist()):
            written = results[alive[place]][0]
            if token in base.chat.end_ids:
                results[alive[place]] = (written, True)
                continue
            written.append(token)
            if ended is not None and ended(written):
                results[alive[place]] = (written, True)
            else:
                keep.append(place)
        if not keep:
            return
        if len(keep) < len(alive):
            index = torch.tensor(keep, device=base.device)
            cache.batch_select_indices(index)
            chosen, mask, positions = chosen[index], mask[index], positions[index]
            alive = [alive[place] for place in keep]
        ids = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        positions = positions[:, -1:] + 1
