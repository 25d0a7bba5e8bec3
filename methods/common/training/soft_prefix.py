"""Soft prefixes: free embeddings before a question, how they are placed, and the losses that they are trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from methods.common.model.base_model import BaseModel, states_of
from methods.common.model.soft_tokens import Places, Soft, softened
from methods.common.targets.training_texts import Pair
from methods.common.training.losses import response_nll


def with_prefix(base: BaseModel, context: Sequence[int], prefix: Tensor) -> Places:
    """The context with the prefix, (tokens, width), right before the user's words.

    Not before the whole text: the first position is where attention rests, and a free embedding there
    changes everything that follows.
    """
    start = base.chat.question_start(context)
    return (*context[:start], *(Soft(embedding=part) for part in prefix), *context[start:])


def prefix_nll(base: BaseModel, contexts: Sequence[Places], responses: Sequence[Sequence[int]]) -> Tensor:
    """Mean NLL per response token behind contexts with soft places, (rows,). Gradients pass to the places."""
    with softened(base, contexts) as rows:
        pairs = [Pair(tuple(ids), tuple(response)) for ids, response in zip(rows, responses, strict=True)]
        return response_nll(base, pairs)


def next_token(base: BaseModel, contexts: Sequence[Places]) -> Tensor:
    """Logits of the first token behind each context, (rows, vocabulary). Gradients pass to soft places."""
    with softened(base, contexts) as rows:
        hidden = states_of(base, rows)
        return base.logits(torch.stack([hidden[row, len(ids) - 1] for row, ids in enumerate(rows)]))


def embedding_scale(base: BaseModel) -> float:
    """The root mean square of one number of a token's embedding, as the first block reads it."""
    ids = torch.arange(0, int(base.model.get_input_embeddings().weight.shape[0]), 97, device=base.device)
    with torch.no_grad():
        return float(base.model.get_input_embeddings()(ids).float().square().mean().sqrt())


class ResidualMLP(nn.Module):
    """x -> W x + MLP(x), with W as wide as the result asks for."""

    def __init__(self, size: int, inner: int, out: int) -> None:
        super().__init__()
        self.direct = nn.Linear(size, out)
        self.deep = nn.Sequential(nn.Linear(size, inner), nn.ReLU(), nn.Linear(inner, out))

    def forward(self, x: Tensor) -> Tensor:
        """(…, size) to (…, out)."""
        result: Tensor = self.direct(x) + self.deep(x)
        return result
