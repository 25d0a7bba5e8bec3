"""Which keys an edit is to leave alone: those of neutral text, and those of the same questions about other things.

The covariance of the papers is taken over encyclopaedia text, which is full of names like the subjects
that are edited. Neutral text may have none. So each question is also asked about other things, which
the model names itself: it goes on from the words before the subject. That is ours, not the papers'.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from methods.common.contract.task import Request, Task, progress
from methods.common.editing.edits import EditSettings
from methods.common.model.base_model import BaseModel
from methods.common.model.inference import continue_greedily
from methods.common.model.keys import Row, second_moments

_WINDOW = 128
_NAME_TOKENS = 6
_END = re.compile(r"[?.,\n]")


def retain_covariances(
    base: BaseModel, layers: Sequence[int], task: Task, settings: EditSettings, *, at_answer: bool = False
) -> dict[int, Tensor]:
    """C of every layer, (keys, keys), float64: E[k k^T] over neutral text + neighbour_weight E[k k^T] over other names.

    `covariance_ridge` times the mean of C's diagonal is added to that diagonal: it keeps directions in
    check that the sample never showed. With `at_answer` the key that is to stay is not that of the other name but
    that of the last token before the answer to a question about it.
    """
    neutral = _windows(base, task.neutral(), settings.covariance_tokens)
    C = second_moments(base, layers, neutral, told=lambda done: progress(0.05 + 0.15 * done, "covariance"))
    if settings.neighbours > 0 and settings.neighbour_weight > 0:
        others = (other_questions if at_answer else other_names)(base, task.forget, settings.neighbours)
        near = second_moments(base, layers, others, told=lambda done: progress(0.2 + 0.05 * done, "neighbours"))
        C = {layer: matrix + settings.neighbour_weight * near[layer] for layer, matrix in C.items()}
    return {layer: _damped(matrix, settings.covariance_ridge) for layer, matrix in C.items()}


def _damped(C: Tensor, ridge: float) -> Tensor:
    return C + ridge * C.diagonal().mean() * torch.eye(len(C)).to(C)


def _windows(base: BaseModel, texts: Sequence[str], tokens: int) -> list[Row]:
    """Up to `tokens` tokens of text. Position 0 of every window is left out: it carries a massive
    activation (a norm ten to thirty times that of any other token) which would drown the rest.
    """
    rows: list[Row] = []
    total = 0
    for text in texts:
        ids = base.chat.tokenizer(text, add_special_tokens=True)["input_ids"]
        for start in range(0, len(ids), _WINDOW):
            part = tuple(ids[start : start + _WINDOW])
            if len(part) > 1 and total < tokens:
                rows.append(Row(part, 1))
                total += len(part)
    return rows


def other_names(base: BaseModel, requests: Sequence[Request], count: int) -> list[Row]:
    """The beginnings of questions about other things (see `_named`); only the names in them count."""
    return [row for _, row in _named(base, requests, count)]


def other_questions(base: BaseModel, requests: Sequence[Request], count: int) -> list[Row]:
    """Whole questions about the same other things, in the chat form; only the last token counts."""
    rows = []
    for request, row in _named(base, requests, count):
        name = _END.split(base.chat.decode(row.ids[row.first :]).strip())[0]
        ids = base.chat.prompt_ids(request.prompt.replace(request.subject or "", name))
        rows.append(Row(tuple(ids), len(ids) - 1))
    return rows


@torch.no_grad()
def _named(base: BaseModel, requests: Sequence[Request], count: int) -> list[tuple[Request, Row]]:
    """Each question cut before its subject and continued by the model in `count` ways, with the request.

    The `count` likeliest next tokens are taken, each continued greedily up to the end of the name. A
    request without a subject has none, and a name that begins like the subject of a request is left out.
    """
    subjects = [request.subject for request in requests if request.subject is not None]
    owners: list[Request] = []
    firsts: list[int] = []
    starts: list[list[int]] = []
    for request in requests:
        if request.subject is None:
            continue
        text = base.chat.prompt_text(request.prompt)
        before = text[: text.rindex(request.prompt) + request.prompt.rindex(request.subject)]
        # Most tokenizers put a word's space at its beginning, so the text before the name ends without it.
        head = base.chat.encode(before.rstrip(" "))
        ids = torch.tensor([head], device=base.device)
        likeliest = base.logits(base.trunk(input_ids=ids, use_cache=False).last_hidden_state[0, -1]).topk(count)
        owners += [request] * count
        firsts += [len(head)] * count
        starts += [[*head, token] for token in likeliest.indices.tolist()]
    written = continue_greedily(base, starts, _NAME_TOKENS, ended=lambda ids: _ended(base, ids))
    rows = [Row((*start, *more), first) for start, (more, _), first in zip(starts, written, firsts, strict=True)]
    pairs = zip(owners, rows, strict=True)
    return [(item, row) for item, row in pairs if not _alike(base.chat.decode(row.ids[row.first :]).strip(), subjects)]


def _ended(base: BaseModel, ids: Sequence[int]) -> bool:
    return _END.search(base.chat.decode(ids)) is not None


def _alike(name: str, subjects: Sequence[str]) -> bool:
    starts = {text.casefold().removeprefix("the ")[:4] for text in subjects}
    return name.casefold().removeprefix("the ")[:4] in starts
