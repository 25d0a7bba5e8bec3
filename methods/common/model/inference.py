"""Reading the model: log-probabilities of given tokens and greedy continuations, both in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from methods.common.contract.answers import TokenScores
from methods.common.model.base_model import BaseModel, batches_by_length, common_length, padded

#: Positions whose logits (positions x vocabulary, float32) are held at once: 64 x 50k is 13 MB, which a cache holds.
_POSITIONS_AT_ONCE = 64
_TOKENS_PER_BATCH = 4096
_ROWS_PER_BATCH = 32
#: A pass of so many positions is cut before a row shorter than this share of its longest.
_EVEN_TOKENS, _EVEN_SHARE = 256, 0.8


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
        read = _read(base, chosen, tails)
        # All of a group at once: the vocabulary is met in few large products instead of one a row.
        parts: list[tuple[Tensor, Sequence[int | None]]] = [
            (front[:-1], contexts[place][1:]) for place, (front, _) in zip(group, read, strict=True) if contexts_too
        ]
        parts += [
            (torch.cat([front[-1:], states]), (*tail, None))
            for ends, (front, backs) in zip(tails, read, strict=True)
            for tail, states in zip(ends, backs, strict=True)
        ]
        found = iter(_scores_of(base, parts))
        before = [next(found) if contexts_too else TokenScores.unknown(len(contexts[place]) - 1) for place in group]
        for place, asked in zip(group, before, strict=True):
            for index in members[place]:
                scores[index] = TokenScores.unknown(1) + asked + next(found)
    return [scores[index] for index in range(len(rows))]


def _scores_of(base: BaseModel, parts: Sequence[tuple[Tensor, Sequence[int | None]]]) -> list[TokenScores]:
    """The scores of several runs of states, each (time, width), and of the tokens that follow them."""
    together = _scores(base, torch.cat([states for states, _ in parts]), [token for _, own in parts for token in own])
    ends = list(accumulate(len(own) for _, own in parts))
    return [together[end - len(own) : end] for end, (_, own) in zip(ends, parts, strict=True)]


def _read(
    base: BaseModel, contexts: Sequence[Sequence[int]], tails: Sequence[Sequence[Sequence[int]]]
) -> list[tuple[Tensor, list[Tensor]]]:
    """Last hidden states of every context, (time, width), and of each of its tails, (time, width)."""
    cache, mask, fronts = _contexts_read(base, contexts)
    flat = [tail for ends in tails for tail in ends]
    owners = [number for number, ends in enumerate(tails) for _ in ends]
    backs = [fronts[owner][:0] for owner in owners]
    for chosen in _even([len(tail) for tail in flat]):
        owner = torch.tensor([owners[place] for place in chosen], device=base.device)
        ids, tail_mask = padded([flat[place] for place in chosen], base.pad_id)
        lengths = torch.tensor([len(contexts[owners[place]]) for place in chosen], device=base.device)
        hidden = base.trunk(
            input_ids=ids.to(base.device),
            attention_mask=torch.cat([mask[owner], tail_mask.to(base.device)], dim=1),
            position_ids=lengths[:, None] + torch.arange(ids.shape[1], device=base.device),
            past_key_values=_cache_of(base, cache, owner),
            use_cache=True,
        ).last_hidden_state
        for row, place in enumerate(chosen):
            backs[place] = hidden[row, : len(flat[place])]
    found = iter(backs)
    return [(front, [next(found) for _ in ends]) for front, ends in zip(fronts, tails, strict=True)]


def _even(lengths: Sequence[int]) -> list[list[int]]:
    """The places of what has a length, the longest first, cut where padding would cost more than another pass."""
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        longest = lengths[groups[-1][0]] if groups else 0
        if not lengths[place]:
            break
        if not groups or (len(groups[-1]) * longest >= _EVEN_TOKENS and lengths[place] < _EVEN_SHARE * longest):
            groups.append([])
        groups[-1].append(place)
    return groups


def _cache_of(base: BaseModel, cache: Any, rows: Tensor) -> Any:
    """A cache of some rows of another, which stays as it is."""
    from transformers import DynamicCache  # noqa: PLC0415 - loads transformers

    chosen = DynamicCache(config=base.model.config)
    for number, layer in enumerate(cache.layers):
        chosen.update(layer.keys[rows], layer.values[rows], number)
    return chosen


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
    guesses: Sequence[Sequence[int]] = (),
) -> list[tuple[list[int], bool]]:
    """The greedy continuation of every row, and whether it ended by itself.

    A row ends at an end-of-turn token (not part of the result) or as soon as `ended(ids)` is true.
    Finished rows leave the batch, so a few long answers do not hold up the many short ones.
    `guesses`: what each row may go on with; read together with it, and kept as far as the model says the same.
    """
    results: list[tuple[list[int], bool]] = [([], False) for _ in rows]
    guessed = [list(guesses[item])[: max(0, max_tokens - 1)] if guesses else [] for item in range(len(rows))]
    sizes = [len(row) + len(guess) for row, guess in zip(rows, guessed, strict=True)]
    order = sorted(range(len(rows)), key=lambda item: (-sizes[item], item))
    # With a guess reading is all there is to do, if it is right; without, the more rows a step has the better.
    groups = _even(sizes) if any(guessed) else [order]
    for group in groups if max_tokens > 0 else ():
        for start in range(0, len(group), _ROWS_PER_BATCH):
            _continue_batch(base, rows, guessed, group[start : start + _ROWS_PER_BATCH], max_tokens, ended, results)
    return results


def _continue_batch(
    base: BaseModel,
    rows: Sequence[Sequence[int]],
    guesses: Sequence[Sequence[int]],
    group: list[int],
    max_tokens: int,
    ended: Callable[[Sequence[int]], bool] | None,
    results: list[tuple[list[int], bool]],
) -> None:
    def take(row: int, token: int) -> bool:
        """Put a token behind a row; whether the row goes on."""
        written = results[row][0]
        closed = token in base.chat.end_ids
        if not closed:
            written.append(token)
            closed = ended is not None and ended(written)
        results[row] = (written, closed)
        return not closed and len(written) < max_tokens

    cache, mask, fronts = _contexts_read(base, [[*rows[index], *guesses[index]] for index in group])
    chosen = _guesses_checked(base, [front[-1 - len(guesses[i]) :] for front, i in zip(fronts, group, strict=True)])
    alive: list[int] = []
    keep: list[int] = []
    for place, (row, said) in enumerate(zip(group, chosen, strict=True)):
        guess = guesses[row]
        going, right = take(row, said[0]), 0
        while going and right < len(guess) and guess[right] == said[right]:
            right += 1
            going = take(row, said[right])
        # What was read of a wrong guess is seen no more.
        mask[place, mask.shape[1] - (len(guess) - right) :] = 0
        if going:
            keep.append(place)
            alive.append(row)
    positions = torch.tensor([[len(rows[row]) + len(results[row][0]) - 1] for row in alive], device=base.device)
    if len(keep) < len(group) and keep:
        index = torch.tensor(keep, device=base.device)
        cache.batch_select_indices(index)
        mask = mask[index]
    while alive:
        last = torch.tensor([[results[row][0][-1]] for row in alive], device=base.device)
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
        hidden = base.trunk(
            input_ids=last, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]
        tokens = base.logits(hidden).argmax(dim=-1).tolist()
        keep = [place for place, (row, token) in enumerate(zip(alive, tokens, strict=True)) if take(row, token)]
        positions = positions + 1
        if len(keep) < len(alive):
            alive = [alive[place] for place in keep]
            if alive:
                index = torch.tensor(keep, device=base.device)
                cache.batch_select_indices(index)
                mask, positions = mask[index], positions[index]


def _guesses_checked(base: BaseModel, states: Sequence[Tensor]) -> list[list[int]]:
    """The likeliest token after each state, (time, width) a row."""
    flat = torch.cat(list(states))
    found = [
        token for part in torch.split(flat, _POSITIONS_AT_ONCE) for token in base.logits(part).argmax(dim=-1).tolist()
    ]
    sizes = iter(found)
    return [[next(sizes) for _ in range(len(state))] for state in states]
