"""Reading the model: log-probabilities of given tokens and greedy continuations, both in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from methods.common.contract.answers import TokenScores
from methods.common.model.base_model import BaseModel, batches_by_length, common_length, padded

#: Positions whose logits (positions x vocabulary, float32) are held at once: 512 x 50k is 100 MB.
_POSITIONS_AT_ONCE = 512
_TOKENS_PER_BATCH = 4096
_ROWS_PER_BATCH = 32


@torch.inference_mode()
def score_tokens(
    base: BaseModel,
    rows: Sequence[Sequence[int]],
    context_lens: Sequence[int] | None = None,
    *,
    contexts_too: bool = True,
) -> list[TokenScores]:
    """Scores of every token of every row under the unmodified softmax (see `TokenScores`).

    Rows that agree on their first `context_lens[row]` ids, at least one (by default: on all), have these read
    once: many answers are scored behind the same question. Without `contexts_too` the entries of contexts
    are left unknown, which saves most of the vocabulary's share of the work.
    """
    lengths = [len(row) for row in rows] if context_lens is None else context_lens
    behind: dict[tuple[int, ...], list[int]] = {}
    for index, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        behind.setdefault(tuple(row[:length]), []).append(index)
    contexts, members = list(behind), list(behind.values())
    sizes = [len(context) + sum(len(rows[i]) - len(context) for i in found) for context, found in behind.items()]
    scores: dict[int, TokenScores] = {}
    for group in batches_by_length(sizes, _TOKENS_PER_BATCH):
        chosen = [contexts[place] for place in group]
        tails = [[rows[index][len(contexts[place]) :] for index in members[place]] for place in group]
        for place, ends, (front, backs) in zip(group, tails, _read(base, chosen, tails), strict=True):
            asked = contexts[place][1:]
            before = _scores(base, front[:-1], asked) if contexts_too else TokenScores.unknown(len(asked))
            for index, tail, states in zip(members[place], ends, backs, strict=True):
                after = _scores(base, torch.cat([front[-1:], states]), [*tail, None])
                scores[index] = TokenScores.unknown(1) + before + after
    return [scores[index] for index in range(len(rows))]


def _read(
    base: BaseModel, contexts: Sequence[Sequence[int]], tails: Sequence[Sequence[Sequence[int]]]
) -> list[tuple[Tensor, list[Tensor]]]:
    """Last hidden states of every context, (time, width), and of each of its tails, (time, width)."""
    cache, mask, fronts = _contexts_read(base, contexts)
    flat = [tail for ends in tails for tail in ends]
    if not any(flat):
        return [(front, [front[:0]] * len(ends)) for front, ends in zip(fronts, tails, strict=True)]
    owner = torch.tensor([number for number, ends in enumerate(tails) for _ in ends], device=base.device)
    cache.batch_select_indices(owner)
    ids, tail_mask = padded(flat, base.pad_id)
    lengths = torch.tensor([len(context) for context in contexts], device=base.device)[owner]
    hidden = base.trunk(
        input_ids=ids.to(base.device),
        attention_mask=torch.cat([mask[owner], tail_mask.to(base.device)], dim=1),
        position_ids=lengths[:, None] + torch.arange(ids.shape[1], device=base.device),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    backs = iter([hidden[row, : len(tail)] for row, tail in enumerate(flat)])
    return [(front, [next(backs) for _ in ends]) for front, ends in zip(fronts, tails, strict=True)]


def _contexts_read(base: BaseModel, contexts: Sequence[Sequence[int]]) -> tuple[Any, Tensor, list[Tensor]]:
    """The cache after the contexts, its mask (rows, longest), and each context's hidden states, (time, width).

    What all of them share (the system prompt of a chat form) is read once, before the padding.
    """
    from transformers import DynamicCache  # noqa: PLC0415 - loads transformers

    cache = DynamicCache(config=base.model.config)
    shared = common_length(contexts) if len(contexts) > 1 else 0
    rests = [context[shared:] for context in contexts]
    ids, mask = padded(rests, base.pad_id, left=True)
    ids, mask = ids.to(base.device), mask.to(base.device)
    positions = shared + (mask.cumsum(-1) - 1).clamp(min=0)
    head: list[Tensor] = []
    if shared:
        first = torch.tensor([list(contexts[0][:shared])], device=base.device)
        head = [base.trunk(input_ids=first, past_key_values=cache, use_cache=True).last_hidden_state[0]]
        cache.batch_repeat_interleave(len(contexts))
        mask = torch.cat([mask.new_ones(len(contexts), shared), mask], dim=1)
    hidden = base.trunk(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
    ).last_hidden_state
    return cache, mask, [torch.cat([*head, hidden[row, -len(rest) :]]) for row, rest in enumerate(rests)]


def _scores(base: BaseModel, hidden: Tensor, following: Sequence[int | None]) -> TokenScores:
    """One entry for each state, (time, width), about the token that follows it; None: whatever is likeliest."""
    logprobs: list[float | None] = []
    top_ids: list[int] = []
    top_logprobs: list[float | None] = []
    for start in range(0, len(following), _POSITIONS_AT_ONCE):
        logits = base.logits(hidden[start : start + _POSITIONS_AT_ONCE])
        norm = torch.logsumexp(logits, dim=-1)
        # argmax takes the lowest of equal ids, as greedy decoding does below.
        best = logits.argmax(dim=-1)
        highest = (logits.gather(-1, best[:, None])[:, 0] - norm).tolist()
        named = following[start : start + _POSITIONS_AT_ONCE]
        # A soft place has an id behind the vocabulary. Its own score means nothing and is never sent.
        plain = torch.tensor([0 if token is None else min(token, logits.shape[-1] - 1) for token in named])
        actual = (logits.gather(-1, plain.to(logits.device)[:, None])[:, 0] - norm).tolist()
        logprobs += [top if token is None else own for token, own, top in zip(named, actual, highest, strict=True)]
        top_ids += best.tolist()
        top_logprobs += highest
    return TokenScores(logprobs, top_ids, top_logprobs)


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
    if max_tokens < 1:
        return
    cache, mask, fronts = _contexts_read(base, [rows[index] for index in group])
    hidden = torch.stack([front[-1] for front in fronts])
    positions = torch.tensor([[len(rows[index])] for index in group], device=base.device)
    alive = list(group)
    for step in range(1, max_tokens + 1):
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
        if not keep or step == max_tokens:
            return
        if len(keep) < len(alive):
            index = torch.tensor(keep, device=base.device)
            cache.batch_select_indices(index)
            chosen, mask, positions = chosen[index], mask[index], positions[index]
            alive = [alive[place] for place in keep]
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        hidden = base.trunk(
            input_ids=chosen[:, None],
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        positions = positions + 1
