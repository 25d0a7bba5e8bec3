"""The way of the usual unlearning suites, emulated for comparison only: one forward pass a metric.

Written from the description of open-unlearning's protocol: each metric walks its own data loader in the order of the
data set, tokenises every item again, repeats the prompt before each answer, keeps the full logits and their
log-softmax, and generation waits for the longest row. Definitions are that suite's, but for a correct
attention mask and for the last label, which none of its metrics leaves out here.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

Values = dict[str, list[float]]
Text = tuple[str, str]


class OneForward:
    """A model, its tokenizer and a batch size; every method is one metric over (prompt, answer) texts.

    `softmax`: the precision of everything after the logits. That suite's own is that of the model; its cross-entropy
    over transposed logits then loses up to 2e-4 nats a token to rounding, so values are compared in double precision.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch_size: int, softmax: torch.dtype = torch.float32) -> None:
        self.model, self.tokenizer, self.batch_size, self.softmax = model, tokenizer, batch_size, softmax
        #: What the forward passes and decoding took: padded tokens, rows of the head, decoding steps.
        self.tokens = self.head_rows = self.steps = 0

    def _loader(self, texts: Sequence[Text]) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """(ids, mask, labels) of each batch; labels are -100 on the prompt and the padding."""
        for start in range(0, len(texts), self.batch_size):
            encoded = []
            for prompt, answer in texts[start : start + self.batch_size]:
                context = self.tokenizer.encode(prompt, add_special_tokens=False)
                whole = [*context, *self.tokenizer.encode(answer, add_special_tokens=False)]
                encoded.append((whole, len(context)))
            width = max(len(whole) for whole, _ in encoded)
            ids = torch.zeros((len(encoded), width), dtype=torch.long)
            mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
            for row, (whole, size) in enumerate(encoded):
                ids[row, : len(whole)] = torch.tensor(whole)
                mask[row, : len(whole)] = 1
                labels[row, size : len(whole)] = torch.tensor(whole[size:])
            self.tokens += ids.numel()
            self.head_rows += ids.numel()
            yield ids, mask, labels

    @torch.no_grad()
    def _logits(self, texts: Sequence[Text]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for ids, mask, labels in self._loader(texts):
            yield self.model(input_ids=ids, attention_mask=mask).logits.to(self.softmax), labels

    def average_loss(self, texts: Sequence[Text]) -> list[float]:
        """Mean negative log-probability of each answer, in nats."""
        found: list[float] = []
        for logits, labels in self._logits(texts):
            losses = cross_entropy(
                logits[:, :-1].transpose(-1, -2).contiguous(), labels[:, 1:], ignore_index=-100, reduction="none"
            )
            found += (losses.sum(-1) / (labels[:, 1:] != -100).sum(-1)).tolist()
        return found

    def _tokenwise(self, texts: Sequence[Text]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(log-probabilities (T, V), labels (T,)) of each answer."""
        for logits, labels in self._logits(texts):
            log_probs = logits.log_softmax(-1)
            for row in range(len(labels)):
                use = (labels[row, 1:] != -100).nonzero()[:, 0]
                yield log_probs[row, use], labels[row, use + 1]

    def exact_memorization(self, texts: Sequence[Text]) -> list[float]:
        return [float((lp.argmax(-1) == y).float().mean()) for lp, y in self._tokenwise(texts)]

    def extraction_strength(self, texts: Sequence[Text]) -> list[float]:
        found = []
        for lp, labels in self._tokenwise(texts):
            hits = (lp.argmax(-1) == labels).tolist()
            tail = next((n for n, hit in enumerate(reversed(hits)) if not hit), len(hits))
            found.append(tail / len(hits))
        return found

    def min_k(self, texts: Sequence[Text]) -> list[float]:
        found = []
        for lp, labels in self._tokenwise(texts):
            chosen = lp.gather(1, labels[:, None])[:, 0].sort().values
            found.append(-float(chosen[: max(1, math.floor(0.4 * len(chosen)))].mean()))
        return found

    def min_k_plus_plus(self, texts: Sequence[Text]) -> list[float]:
        for _ in self._logits(texts):  # that suite runs the same forward twice here
            pass
        found = []
        for lp, labels in self._tokenwise(texts):
            share = lp.exp()
            mean = (share * lp).sum(-1)
            spread = (share * lp.square()).sum(-1) - mean.square()
            scores = (lp.gather(1, labels[:, None])[:, 0] - mean) / spread.clamp(min=1e-6).sqrt()
            ordered = scores.sort().values
            found.append(-float(ordered[: max(1, math.floor(0.4 * len(ordered)))].mean()))
        return found

    def zlib(self, texts: Sequence[Text]) -> list[float]:
        return [
            loss / len(zlib.compress(answer.encode()))
            for loss, (_, answer) in zip(self.average_loss(texts), texts, strict=True)
        ]

    @torch.no_grad()
    def generate(self, prompts: Sequence[str], *, max_tokens: int) -> list[str]:
        """Greedy text; each batch waits for its longest row."""
        found = []
        for start in range(0, len(prompts), self.batch_size):
            part = list(prompts[start : start + self.batch_size])
            batch = self.tokenizer(
                part, padding=True, padding_side="left", return_tensors="pt", add_special_tokens=False
            )
            out = self.model.generate(
                **batch, do_sample=False, max_new_tokens=max_tokens, pad_token_id=self.tokenizer.pad_token_id
            )
            new = out[:, batch["input_ids"].shape[1] :]
            self.steps += new.shape[1]
            self.tokens += batch["input_ids"].numel() + new.numel()
            found += self.tokenizer.batch_decode(new, skip_special_tokens=True)
        return found

    def suite(self, items: Sequence[tuple[str, Sequence[str]]], *, max_tokens: int) -> tuple[Values, list[str]]:
        """The metrics of the suite for (prompt, continuations): the reference, a longer true answer, wrong ones."""
        answer = [(prompt, own[0]) for prompt, own in items]
        metrics: dict[str, Callable[[Sequence[Text]], list[float]]] = {
            "probability": lambda texts: [math.exp(-loss) for loss in self.average_loss(texts)],
            "extraction_strength": self.extraction_strength,
            "exact_memorization": self.exact_memorization,
            "loss": self.average_loss,
            "zlib": self.zlib,
            "min_k": self.min_k,
            "min_k++": self.min_k_plus_plus,
        }
        values = {name: metric(answer) for name, metric in metrics.items()}
        others = iter(self.average_loss([(prompt, other) for prompt, own in items for other in own[1:]]))
        values["truth_ratio"] = [_truth_ratio(next(others), [next(others) for _ in own[2:]]) for _, own in items]
        return values, self.generate([prompt for prompt, _ in items], max_tokens=max_tokens)


def _truth_ratio(right: float, wrong: Sequence[float]) -> float:
    """p_true / (p_true + p_wrong) from average losses; p_wrong is the geometric mean over the wrong answers."""
    p_true, p_wrong = math.exp(-right), math.exp(-sum(wrong) / len(wrong))
    return p_true / (p_true + p_wrong)
