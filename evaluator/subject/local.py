"""Local weights: a causal language model in this process, scored and decoded in length-sorted batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from evaluator.subject.protocol import Scored


def model_load(base: Path, tensors: Path | None = None) -> Any:
    """The base model in fp32 and evaluation mode, with the tensors of a sealed artifact put over its own.

    `tensors`: a folder of safetensors with (a subset of) the base's names. Only sealed artifacts come here,
    so names, shapes and finiteness have been checked.
    """
    from safetensors.torch import load_file

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, trust_remote_code=False)
    if tensors is not None:
        own = model.state_dict()
        with torch.no_grad():
            for file in sorted(tensors.glob("*.safetensors")):
                for name, value in load_file(file).items():
                    own[name].copy_(value.to(torch.float32))
    model.train(False)
    return model


def _batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices in descending length, cut so that rows x longest stays within a token budget."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batch: list[int] = []
    for index in order:
        longest = lengths[batch[0]] if batch else lengths[index]
        if batch and (len(batch) + 1) * max(longest, 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


class LocalSubject:
    """`Subject` over a Hugging Face causal LM. Layout depends on lengths only, so scores repeat bit for bit."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, *, token_budget: int = 4096) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.token_budget = token_budget
        eos = model.generation_config.eos_token_id
        ids = eos if isinstance(eos, list) else [eos]
        self.stop_ids = {int(i) for i in [*ids, tokenizer.eos_token_id] if i is not None}
        self.pad_id = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0)

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored]:
        """See `Subject.score`. The LM head runs at label positions only; log-softmax in fp32."""
        results: list[Scored | None] = [None] * len(pairs)
        lengths = [len(context) + len(continuation) - 1 for context, continuation in pairs]
        for batch in _batches(lengths, self.token_budget):
            width = max(lengths[i] for i in batch)
            ids = torch.full((len(batch), width), self.pad_id)
            mask = torch.zeros((len(batch), width), dtype=torch.long)
            for row, index in enumerate(batch):
                tokens = (pairs[index][0] + pairs[index][1])[:-1]
                ids[row, : len(tokens)] = torch.tensor(tokens)
                mask[row, : len(tokens)] = 1
            hidden = self.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
            for row, index in enumerate(batch):
                context, continuation = pairs[index]
                if not continuation:
                    results[index] = Scored((), ())
                    continue
                states = hidden[row, len(context) - 1 : len(context) - 1 + len(continuation)]
                log_probs = self.model.lm_head(states).float().log_softmax(-1)
                labels = torch.tensor(continuation)
                chosen = log_probs.gather(1, labels[:, None])[:, 0]
                results[index] = Scored(tuple(chosen.tolist()), tuple((log_probs.argmax(-1) == labels).tolist()))
        return [r for r in results if r is not None]

    @torch.inference_mode()
    def generate(self, prompts: Sequence[list[int]], *, max_tokens: int, stop: Sequence[str]) -> list[str]:
        """See `Subject.generate`. Left-padded batches; finished rows leave the batch."""
        texts = [""] * len(prompts)
        lengths = [len(p) for p in prompts]
        for batch in _batches(lengths, self.token_budget):
            for index, tokens in zip(batch, self._decode([prompts[i] for i in batch], max_tokens, stop), strict=True):
                text = str(self.tokenizer.decode(tokens, skip_special_tokens=True))
                cuts = [text.find(s) for s in stop if s and s in text]
                texts[index] = text[: min(cuts)] if cuts else text
        return texts

    def _decode(self, prompts: list[list[int]], max_tokens: int, stop: Sequence[str]) -> list[list[int]]:
        width = max(len(p) for p in prompts)
        ids = torch.full((len(prompts), width), self.pad_id)
        mask = torch.zeros((len(prompts), width), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        done: list[list[int]] = [[] for _ in prompts]
        alive = list(range(len(prompts)))
        cache: Any = None
        for _ in range(max_tokens):
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            out = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = out.past_key_values
            chosen = out.logits[:, -1].float().argmax(-1).tolist()
            keep: list[int] = []
            for row, token in enumerate(chosen):
                if token in self.stop_ids:
                    continue
                done[alive[row]].append(token)
                if stop and any(s in self.tokenizer.decode(done[alive[row]]) for s in stop):
                    continue
                keep.append(row)
            if not keep:
                break
            if len(keep) < len(alive):
                rows = torch.tensor(keep)
                cache.batch_select_indices(rows)
                mask = mask[rows]
            alive = [alive[row] for row in keep]
            ids = torch.tensor([[done[i][-1]] for i in alive])
            mask = torch.cat([mask, torch.ones((len(alive), 1), dtype=torch.long)], dim=1)
        return done
