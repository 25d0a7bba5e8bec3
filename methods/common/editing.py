"""Locate and edit: keys, values, their covariance, and the value that makes a fact come out otherwise.

In a transformer block v = W k, where k is the input of the MLP's down projection and v its output.
A fact is looked up at the last token of its subject: k stands for the subject, v for what the model
recalls. Sources: Meng et al., "Locating and Editing Factual Associations in GPT" (ROME, 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from methods.common.contract import Request
from methods.common.lookahead import Context, Lookahead
from methods.common.model import BaseModel, batches_by_length, padded


class _Deep(Exception):
    """Raised by a hook once the layer of interest has been reached: the rest need not be computed."""


def contexts_of(base: BaseModel, request: Request, wordings: Sequence[str]) -> list[Context]:
    """The question in every wording; the lookup is at the subject's last token.

    Without a subject the lookup is at the last token of the question.
    """
    return [_context(base, wording, request.subject or wording) for wording in wordings]


def subject_context(base: BaseModel, request: Request) -> Context | None:
    """ "{subject} is a", the prompt on which the essence of the subject is to stay, or None."""
    return None if request.subject is None else _context(base, f"{request.subject} is a", request.subject)


def _context(base: BaseModel, question: str, marked: str) -> Context:
    text = base.chat.prompt_text(question)
    end = text.rindex(question) + question.rindex(marked) + len(marked)
    # The token that holds the last character of the marked words. Encoding the text up to there and
    # counting would be wrong where a token spans the border, so the offsets decide.
    encoded: Any = base.chat.tokenizer(text, add_special_tokens=not base.chat.chat, return_offsets_mapping=True)
    offsets = encoded["offset_mapping"]
    lookup = max(index for index, (start, stop) in enumerate(offsets) if start < end and start < stop)
    return Context(tuple(encoded["input_ids"]), lookup)


@contextmanager
def _capture_keys(base: BaseModel, layer: int, sink: Callable[[Tensor], None]) -> Iterator[None]:
    """Hand the keys of `layer`, (batch, time, keys), to `sink` and stop the forward pass there."""

    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sink(inputs[0])
        raise _Deep

    handle = base.down_projection(layer).register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _forward_until(base: BaseModel, ids: Tensor, mask: Tensor) -> None:
    try:
        base.trunk(input_ids=ids.to(base.device), attention_mask=mask.to(base.device), use_cache=False)
    except _Deep:
        return


@torch.no_grad()
def key_covariance(
    base: BaseModel, layer: int, texts: Sequence[str], *, tokens: int, window: int = 128, told: Callable[[float], None]
) -> Tensor:
    """C = E[k k^T], uncentred, over up to `tokens` tokens of neutral text; shape (keys, keys), float64.

    Position 0 of every window is left out: it carries a massive activation (a norm ten to thirty times
    that of any other token) which would drown the rest. The forward pass ends at `layer`.
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
    size = base.down_weight(layer).shape[1]
    summed = torch.zeros(size, size, dtype=torch.float64, device=base.device)
    seen = 0
    for group in batches_by_length([len(part) for part in windows], 2048):
        ids_batch, mask = padded([windows[index] for index in group], base.pad_id)
        kept = mask.bool()
        kept[:, 0] = False

        def add(keys: Tensor, kept: Tensor = kept) -> None:
            nonlocal seen
            chosen = keys[kept.to(keys.device)]
            summed.add_((chosen.T @ chosen).double())
            seen += len(chosen)

        with _capture_keys(base, layer, add):
            _forward_until(base, ids_batch, mask)
        told(seen / max(total, 1))
    return summed / max(seen, 1)


@torch.no_grad()
def keys_at_lookup(base: BaseModel, layer: int, contexts: Sequence[Context]) -> Tensor:
    """The key of every context at its lookup token, (contexts, keys)."""
    ids, mask = padded([item.ids for item in contexts], base.pad_id)
    found: list[Tensor] = []
    with _capture_keys(base, layer, lambda keys: found.append(keys.detach().clone())):
        _forward_until(base, ids, mask)
    return torch.stack([found[0][row, item.lookup] for row, item in enumerate(contexts)])


@dataclass(frozen=True)
class ValueSettings:
    """How v* is searched. `clamp` and `weight_decay` are relative to the norm of the present value."""

    steps: int
    learning_rate: float
    stop_at: float
    clamp: float
    kl_factor: float
    weight_decay: float


def value_change(
    base: BaseModel,
    layer: int,
    contexts: Sequence[Context],
    target: Sequence[int],
    essence: Context | None,
    settings: ValueSettings,
) -> tuple[Tensor, float]:
    """delta = v* - v, (width,): what to add to the value at the lookup so that the target is said.

    Minimises mean NLL(target | context) + kl_factor KL(before || after | "{subject} is a")
    + weight_decay ||delta||^2 / ||v||^2 by Adam, with ||delta|| <= clamp ||v||. Also returns the
    last NLL per target token. The tokens before the lookup cannot depend on delta, so their keys
    and values of attention are computed once.
    """
    rows = [(item, tuple(target)) for item in contexts] + ([(essence, ())] if essence is not None else [])
    look = Lookahead(base, layer, rows)
    v_norm = float(look.value.norm())
    delta = torch.zeros_like(look.value, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=settings.learning_rate)
    before: Tensor | None = None
    targets = torch.tensor(list(target), device=base.device).repeat(len(contexts))
    nll_value = float("inf")
    for step in range(settings.steps + 1):
        hidden = look.hidden(delta)
        spans = [hidden[row, look.answer_from[row] :][: len(target)] for row in range(len(contexts))]
        nll = nn.functional.cross_entropy(base.logits(torch.cat(spans)), targets)
        nll_value = float(nll.detach())
        if nll_value < settings.stop_at or step == settings.steps:
            break
        loss = nll + settings.weight_decay * delta.square().sum() / v_norm**2
        if essence is not None and settings.kl_factor > 0:
            after = base.logits(hidden[-1, look.last[-1]]).log_softmax(-1)
            before = after.detach() if before is None else before
            loss = loss + settings.kl_factor * (before.exp() * (before - after)).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            norm = float(delta.norm())
            if norm > settings.clamp * v_norm:
                delta.mul_(settings.clamp * v_norm / norm)
    return delta.detach(), nll_value
