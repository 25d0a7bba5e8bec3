"""What the fine-tuning entries minimise: likelihood of responses, distance to the base, preference.

All are over the tokens of responses only. A pair of `pairs` is one row; "by pair" is one number a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from methods.common.model.base_model import BaseModel, states_of
from methods.common.targets.training_texts import Pair


def response_states(base: BaseModel, pairs: Sequence[Pair]) -> Tensor:
    """The last hidden states from which each response token is predicted, all rows in turn: (tokens, width).

    Logits are formed of these only: with a vocabulary of 50k they are the largest tensor.
    """
    hidden = states_of(base, [item.ids for item in pairs])
    return torch.cat([hidden[row, len(item.prompt) - 1 : len(item.ids) - 1] for row, item in enumerate(pairs)])


def response_targets(base: BaseModel, pairs: Sequence[Pair]) -> Tensor:
    """The response tokens, all rows in turn: (tokens,)."""
    return torch.tensor([token for item in pairs for token in item.response], device=base.device)


def means_by_pair(values: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """The mean over each response's tokens of (tokens,) values: (pairs,)."""
    return torch.stack([part.mean() for part in torch.split(values, [len(item.response) for item in pairs])])


def response_nll(base: BaseModel, pairs: Sequence[Pair]) -> Tensor:
    """Mean negative log-likelihood per response token by pair, in nats: (pairs,)."""
    logits = base.logits(response_states(base, pairs))
    return means_by_pair(nn.functional.cross_entropy(logits, response_targets(base, pairs), reduction="none"), pairs)


def response_logprob(base: BaseModel, pairs: Sequence[Pair]) -> Tensor:
    """log p(response | question) by pair, summed over its tokens, in nats: (pairs,)."""
    lengths = torch.tensor([len(item.response) for item in pairs], device=base.device)
    return -response_nll(base, pairs) * lengths


def ascent(nll: Tensor, cap: float) -> Tensor:
    """Minus the mean of the losses by pair: to minimise it is to climb them.

    The ascent has no floor, and left alone it ends in gibberish. So a pair whose loss has passed
    `cap` nats a token gives no gradient any more.
    """
    return -nll.clamp(max=cap).mean()


def preference(margin: Tensor, beta: float) -> Tensor:
    """-(2 / beta) log sigmoid(beta margin), the mean over pairs.

    Its gradient fades as the margin grows: where the model already prefers what it should, it is left alone.
    """
    return -(2.0 / beta) * nn.functional.logsigmoid(beta * margin).mean()


class Reference:
    """The base before any training, on some pairs: their log-probabilities and token distributions.

    Computed once. The head is never trained (see `training.trainable`), so it is enough to keep the
    last hidden states, some hundred numbers a token, to have the distribution over 50k tokens again.
    """

    @torch.no_grad()
    def __init__(self, base: BaseModel, pairs: Sequence[Pair], rows_at_once: int = 16) -> None:
        self._base = base
        self._states: list[Tensor] = []
        logprobs: list[Tensor] = []
        for start in range(0, len(pairs), rows_at_once):
            part = pairs[start : start + rows_at_once]
            states = response_states(base, part)
            nll = nn.functional.cross_entropy(base.logits(states), response_targets(base, part), reduction="none")
            lengths = [len(item.response) for item in part]
            self._states += torch.split(states, lengths)
            logprobs += [-losses.sum() for losses in torch.split(nll, lengths)]
        self._logprobs = torch.stack(logprobs)

    def logprob(self, rows: Sequence[int]) -> Tensor:
        """log p_ref(response | question) of the pairs at `rows`: (rows,)."""
        return self._logprobs[list(rows)]

    @torch.no_grad()
    def logits(self, rows: Sequence[int]) -> Tensor:
        """The base's logits over the responses of the pairs at `rows`, in turn: (tokens, vocabulary)."""
        return self._base.logits(torch.cat([self._states[row] for row in rows]))


def divergence(reference_logits: Tensor, logits: Tensor) -> Tensor:
    """KL(p_ref || p) by token, in nats: (tokens,)."""
    before, after = reference_logits.log_softmax(-1), logits.log_softmax(-1)
    return (before.exp() * (before - after)).sum(-1)
