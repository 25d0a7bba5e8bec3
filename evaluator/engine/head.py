"""The head: logits at label positions only, log-softmax in fp32, and the primitives of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

#: Rows of one matrix product with the vocabulary, and rows whose softmax passes stay in the processor's cache.
HEAD_ROWS = 256
SOFTMAX_ROWS = 8


#: Below this many rows, the product with the vocabulary on the left is several times faster on a CPU.
FEW_ROWS = 32


class Head:
    """From hidden states (R, hidden) to the model's own logits (R, vocabulary), in fp32."""

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config()
        self.module: Any = model.get_output_embeddings()
        #: Rows that have met the vocabulary so far.
        self.rows = 0
        self.cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
        self.scale = float(getattr(config, "logit_scale", None) or 1) / float(
            getattr(config, "logits_scaling", None) or 1
        )  # Cohere, Granite

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        self.rows += states.shape[0]
        logits: torch.Tensor = self.module(states).float()
        if self.scale != 1:
            logits = logits * self.scale
        if self.cap:
            logits = torch.tanh(logits / self.cap) * self.cap
        return logits

    def best(self, states: torch.Tensor) -> torch.Tensor:
        """The most probable token of each row, (R,): scaling and capping keep the order."""
        self.rows += states.shape[0]
        if states.device.type == "cpu" and states.shape[0] < FEW_ROWS and self.module.bias is None:
            return torch.mm(self.module.weight, states.t()).float().argmax(0)
        found: torch.Tensor = self.module(states).float().argmax(-1)
        return found

    def agrees(self, model: Any, tokens: Sequence[int], tolerance: float) -> bool:
        """Whether these logits are the model's own, on a few tokens; NaN on both sides agrees."""
        ids = torch.tensor([list(tokens)], device=next(model.parameters()).device)
        own = model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
        ours = self(model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]).log_softmax(-1)
        return bool(torch.allclose(own, ours, rtol=0, atol=tolerance, equal_nan=True))


@dataclass(frozen=True)
class TokenPrimitives:
    """Primitives of N labels, each a tensor of shape (N,): see `evaluator.subject.Scored`."""

    logprobs: torch.Tensor
    ranks: torch.Tensor
    means: torch.Tensor
    variances: torch.Tensor


def primitives(head: Head, states: torch.Tensor, rows: Sequence[int], labels: Sequence[int]) -> TokenPrimitives:
    """Primitives of `labels[n]` predicted by `states[rows[n]]`. `states`: (R, hidden); `rows` ascending, 0..R-1."""
    found = TokenPrimitives(
        torch.empty(len(rows)), torch.empty(len(rows), dtype=torch.long), torch.empty(len(rows)), torch.empty(len(rows))
    )
    wanted_rows = torch.tensor(list(rows), device=states.device)
    wanted = torch.tensor(list(labels), device=states.device)
    small = SOFTMAX_ROWS if states.device.type == "cpu" else HEAD_ROWS
    for start in range(0, states.shape[0], HEAD_ROWS):
        logits = head(states[start : start + HEAD_ROWS])
        for inner in range(0, logits.shape[0], small):
            block = logits[inner : inner + small]
            block -= block.logsumexp(-1, keepdim=True)
            first, last = start + inner, start + inner + block.shape[0]
            use = ((wanted_rows >= first) & (wanted_rows < last)).nonzero()[:, 0]
            within = wanted_rows[use] - first
            chosen = block[within, wanted[use]]
            # One label a row as a rule: more only where answers part after a shared beginning.
            # Counted from below, so that NaN, which nothing is less than, is never the best.
            above = block.shape[1] - (block[within] <= chosen[:, None]).sum(-1)
            found.ranks[use] = (above + 1).to(found.ranks.device)
            share = block.exp()
            means = torch.linalg.vecdot(share, block)
            variances = (torch.linalg.vecdot(share.mul_(block), block) - means.square()).clamp_(min=0)
            found.logprobs[use] = chosen.to(found.logprobs.device)
            found.means[use] = means[within].to(found.means.device)
            found.variances[use] = variances[within].to(found.variances.device)
    return found
