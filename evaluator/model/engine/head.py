"""The head: logits at label positions only, log-softmax in fp32, and the primitives of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from evaluator.model.engine.linear import PackedMatrix, packs

#: Rows of one matrix product with the vocabulary, and rows whose softmax passes stay in the processor's cache.
HEAD_ROWS = 128
SOFTMAX_ROWS = 8


class Head:
    """From hidden states (R, hidden) to the model's own logits (R, vocabulary), in fp32."""

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        self.module: Any = model.get_output_embeddings()
        #: Rows that have met the vocabulary so far.
        self.rows = 0
        self.cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
        self._packed = PackedMatrix(self.module.weight) if packs(self.module.weight) else None
        self.scale = float(getattr(config, "logit_scale", None) or 1) / float(
            getattr(config, "logits_scaling", None) or 1
        )  # Cohere, Granite

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        self.rows += states.shape[0]
        logits = self._product(states)
        if self.scale != 1:
            logits = logits * self.scale
        if self.cap:
            logits = torch.tanh(logits / self.cap) * self.cap
        return logits

    def _product(self, states: torch.Tensor) -> torch.Tensor:
        """States times the vocabulary."""
        if self._packed is not None and not torch.is_grad_enabled():
            return self._packed(states, self.module.bias)
        found: torch.Tensor = self.module(states).float()
        return found

    def best(self, states: torch.Tensor) -> torch.Tensor:
        """The most probable token of each row, (R,): scaling and capping keep the order."""
        self.rows += states.shape[0]
        return torch.cat([self._product(part).argmax(-1) for part in torch.split(states, HEAD_ROWS)])

    def agrees(self, model: Any, tokens: Sequence[int], tolerance: float) -> bool:
        """Whether these logits are the model's own, on a few tokens; NaN on both sides agrees."""
        ids = torch.tensor([list(tokens)], device=next(model.parameters()).device)
        own = model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
        ours = self(model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]).log_softmax(-1)
        return bool(torch.allclose(own, ours, rtol=0, atol=tolerance, equal_nan=True))


@dataclass(frozen=True)
class TokenPrimitives:
    """Primitives of N labels, each a tensor of shape (N,): see `evaluator.model.under_test.Scored`."""

    logprobs: torch.Tensor
    ranks: torch.Tensor
    means: torch.Tensor
    variances: torch.Tensor


def primitives(head: Head, states: torch.Tensor, rows: torch.Tensor, labels: Sequence[int]) -> TokenPrimitives:
    """Primitives of `labels[n]` predicted by `states[rows[n]]`. `states`: (R, hidden); `rows`: (N,), on the CPU."""
    # Answers that begin alike share places and labels: each is looked up once, in the order of the rows.
    vocabulary = head.module.weight.shape[0]
    keys = rows * vocabulary + torch.tensor(list(labels), dtype=torch.long)
    distinct, back = keys.unique(return_inverse=True)
    places, wanted = distinct // vocabulary, (distinct % vocabulary).to(states.device)
    begins = torch.searchsorted(places, torch.arange(states.shape[0] + 1)).tolist()
    count = len(distinct)
    found = TokenPrimitives(
        torch.empty(count), torch.empty(count, dtype=torch.long), torch.empty(count), torch.empty(count)
    )
    small = SOFTMAX_ROWS if states.device.type == "cpu" else HEAD_ROWS
    for start in range(0, states.shape[0], HEAD_ROWS):
        logits = head(states[start : start + HEAD_ROWS])
        for inner in range(0, logits.shape[0], small):
            block = logits[inner : inner + small]
            first, last = start + inner, start + inner + block.shape[0]
            asked = slice(begins[first], begins[last])
            within = (places[asked] - first).to(states.device)
            block -= block.amax(-1, keepdim=True)
            chosen = block[within, wanted[asked]]
            # One label a row as a rule: more only where answers part after a shared beginning.
            own = block if torch.equal(within, torch.arange(len(block), device=within.device)) else block[within]
            # Counted from below, so that NaN, which nothing is less than, is never the best.
            found.ranks[asked] = (block.shape[1] + 1 - torch.count_nonzero(own <= chosen[:, None], dim=-1)).cpu()
            share = block.exp()
            total = share.sum(-1)
            # Of the logits below the best one: the same variance, and a mean that is off by log(total).
            means = torch.linalg.vecdot(share, block) / total
            variances = torch.linalg.vecdot(share.mul_(block), block) / total - means.square()
            log_total = total.log()
            found.logprobs[asked] = (chosen - log_total[within]).cpu()
            found.means[asked] = (means - log_total)[within].cpu()
            found.variances[asked] = variances.clamp_(min=0)[within].cpu()
    return TokenPrimitives(found.logprobs[back], found.ranks[back], found.means[back], found.variances[back])
