"""Local weights: a causal language model in this process, answered by the engine's packed and batched passes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from evaluator.model.engine.decode import CACHE_BYTES, Choose, Decoding, Pace
from evaluator.model.engine.drafts import Drafts
from evaluator.model.engine.head import primitives
from evaluator.model.engine.pack import Pair, batches, pack
from evaluator.model.engine.parity import TOLERANCE, gate_pairs, parity
from evaluator.model.engine.trunk import Trunk, shares_prompts
from evaluator.model.under_test import Scored

logger = logging.getLogger(__name__)

#: Tokens of one forward pass: enough to keep the processor busy, few enough to keep memory low.
TOKEN_BUDGET = 4096
#: Longest sequence where a model does not say its own.
MAX_TOKENS = 2048
#: Of every draw of answers, so that a run gives the same ones again.
SAMPLING_SEED = 20250526
#: From this many tokens on, a pass is as fast a token as a larger one.
BUSY_TOKENS = 256


def model_load(
    base: Path, tensors: Path | None = None, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Any:
    """The base model in evaluation mode, with the tensors of a sealed artifact put over its own.

    `tensors`: a folder of safetensors with (a subset of) the base's names. Only sealed artifacts come here,
    so names, shapes and finiteness have been checked. Official scores use fp32, without TF32.
    """
    from safetensors.torch import load_file  # noqa: PLC0415 - loads torch

    torch.backends.cuda.matmul.allow_tf32 = False
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, trust_remote_code=False)  # nosec B615 # a local folder
    if tensors is not None:
        own = model.state_dict()
        with torch.no_grad():
            for file in sorted(tensors.glob("*.safetensors")):
                for name, value in load_file(file).items():
                    own[name].copy_(value.to(torch.float32))
    model.train(False)
    return model.to(device=device, dtype=dtype)


def weights_sha256(model: Any) -> str:
    """SHA-256 over names, types, shapes and bytes of every weight, in name order: what primitives are keyed by."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _max_tokens(config: Any) -> int:
    """The positions that a model was made for; `MAX_TOKENS` where its config names none."""
    names = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")
    return next((int(n) for name in names if (n := getattr(config, name, None))), MAX_TOKENS)


class LocalModel:
    """A Hugging Face causal LM under test. The layout depends on the requests only, so scores repeat bit for bit.

    Prompts are packed (each shared prefix once) where the model's attention allows it and a check on this very
    model agrees with the plain way; otherwise the plain way is taken.
    """

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase, *, token_budget: int = TOKEN_BUDGET) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.token_budget = token_budget
        self.trunk = Trunk(model)
        self.pace = Pace()
        #: Most tokens of one sequence.
        self.max_tokens = _max_tokens(model.config.get_text_config())
        eos = model.generation_config.eos_token_id
        ids = eos if isinstance(eos, list) else [eos]
        self.stop_ids = frozenset(int(i) for i in [*ids, tokenizer.eos_token_id] if i is not None)
        self.pad_id = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0)

    @cached_property
    def shares(self) -> bool:
        """Whether prompts are packed: the model's attention allows it, and packed scores equal plain ones here."""
        pairs = gate_pairs(int(self.model.config.get_text_config().vocab_size))
        with torch.inference_mode():
            if not self.trunk.head.agrees(self.model, pairs[0][0], TOLERANCE):
                raise ValueError(
                    f"model: {self.model.config.model_type} changes its logits after the head in a way that the engine "
                    "does not know; add it to evaluator/model/engine/head.py"
                )
        if not shares_prompts(self.model):
            return False
        found = parity(self.score_packed, self.score_plain, pairs)
        if not found.holds():
            logger.warning("packed prompts differ from plain ones by %.2g nats: the plain way is used", found.worst)
        return found.holds()

    def score(self, pairs: Sequence[Pair]) -> list[Scored]:
        """See `ModelUnderTest.score`. Raises `ValueError` for an empty context."""
        return self.score_packed(pairs) if self.shares else self.score_plain(pairs)

    @torch.inference_mode()
    def score_packed(self, pairs: Sequence[Pair]) -> list[Scored]:
        """Each shared prefix once, under a mask that keeps sequences apart; the head at label positions only."""
        layout = pack(pairs)
        results: list[Scored] = [Scored((), ())] * len(pairs)
        by_row: dict[int, list[int]] = {}
        for index, (row, nodes) in enumerate(layout.labels):
            if nodes:
                by_row.setdefault(row, []).append(index)
        for chosen in batches([len(row) for row in layout.rows], self.token_budget, busy=BUSY_TOKENS):
            states = self.trunk.rows(layout, chosen)
            width = states.shape[1]
            asked = [(number * width, index) for number, row in enumerate(chosen) for index in by_row.get(row, ())]
            places = [offset + node for offset, index in asked for node in layout.labels[index][1]]
            labels = [token for _, index in asked for token in pairs[index][1]]
            self._collect(results, states.flatten(0, 1), places, labels, [(i, len(pairs[i][1])) for _, i in asked])
        return results

    @torch.inference_mode()
    def score_plain(self, pairs: Sequence[Pair]) -> list[Scored]:
        """Whole sequences in padded batches: the way that suits every causal model."""
        if any(not context for context, _ in pairs):
            raise ValueError("context: is empty, so nothing predicts the first token; begin it with the prefix token")
        results: list[Scored] = [Scored((), ())] * len(pairs)
        sequences = [[*context, *continuation][:-1] for context, continuation in pairs]
        for chosen in batches([len(tokens) for tokens in sequences], self.token_budget, busy=BUSY_TOKENS):
            asked = [index for index in chosen if pairs[index][1]]
            if not asked:
                continue
            states = self.trunk.padded([sequences[i] for i in asked], self.pad_id)
            width = states.shape[1]
            places = [
                number * width + len(pairs[i][0]) - 1 + t
                for number, i in enumerate(asked)
                for t in range(len(pairs[i][1]))
            ]
            labels = [token for i in asked for token in pairs[i][1]]
            self._collect(results, states.flatten(0, 1), places, labels, [(i, len(pairs[i][1])) for i in asked])
        return results

    def _collect(
        self,
        results: list[Scored],
        states: torch.Tensor,
        places: list[int],
        labels: list[int],
        spans: list[tuple[int, int]],
    ) -> None:
        """Put the primitives of consecutive spans (pair, length) of labels into `results`."""
        if not places:
            return
        distinct, rows = torch.unique(torch.tensor(places), return_inverse=True)
        found = primitives(self.trunk.head, states[distinct.to(states.device)], rows, labels)
        columns = [c.tolist() for c in (found.logprobs, found.ranks, found.means, found.variances)]
        start = 0
        for index, size in spans:
            logprobs, ranks, means, variances = (tuple(column[start : start + size]) for column in columns)
            results[index] = Scored(logprobs, tuple(rank == 1 for rank in ranks), ranks, means, variances)
            start += size

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Sequence[int]], *, max_tokens: int, stop: Sequence[str], drafts: Sequence[str] = ()
    ) -> list[str]:
        """See `ModelUnderTest.generate`. Batches as large as the cache's memory allows; finished rows leave them."""
        end = min(self.stop_ids, default=self.pad_id)
        guesses = {
            tuple(prompt): [*self.tokenizer.encode(draft, add_special_tokens=False), end]
            for prompt, draft in zip(prompts, drafts, strict=False)
            if draft
        }
        return self._continued(prompts, max_tokens=max_tokens, stop=stop, drafts=Drafts(guesses, end))

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[Sequence[int]], *, count: int, temperature: float, max_tokens: int
    ) -> list[list[str]]:
        """See `Sampler.sample`. One generator with a fixed seed for all draws, on the CPU."""
        chance = torch.Generator().manual_seed(SAMPLING_SEED)

        def choose(states: torch.Tensor) -> torch.Tensor:
            shares = (self.trunk.head(states).float() / temperature).softmax(-1).cpu()
            return torch.multinomial(shares, 1, generator=chance)[:, 0]

        texts = self._continued(prompts, max_tokens=max_tokens, stop=(), choose=choose, repeat=count)
        return [texts[start : start + count] for start in range(0, len(texts), count)]

    def _continued(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stop: Sequence[str],
        choose: Choose | None = None,
        repeat: int = 1,
        drafts: Drafts | None = None,
    ) -> list[str]:
        """`repeat` continuations of each prompt, one after the other; each prompt is read once."""
        budget = max(1, CACHE_BYTES // self.trunk.bytes_per_token())
        wanted = [s for s in stop if s]

        def ends(tokens: list[int]) -> bool:
            return bool(wanted) and any(s in self.tokenizer.decode(tokens) for s in wanted)

        done: list[list[int]] = [[] for _ in range(len(prompts) * repeat)]
        decoding = Decoding(self.trunk, max_tokens, ends, self.stop_ids, choose, self.pace)
        for batch in batches([repeat * (len(p) + max_tokens) for p in prompts], budget):
            asked = [prompts[index] for index in batch]
            found = decoding.packed(asked, repeat, drafts) if self.shares else decoding.plain(asked, repeat)
            for place, index in enumerate(batch):
                done[index * repeat : (index + 1) * repeat] = found[place * repeat : (place + 1) * repeat]
        texts = []
        for tokens in done:
            text = str(self.tokenizer.decode(tokens, skip_special_tokens=True))
            cuts = [text.find(s) for s in wanted if s in text]
            texts.append(text[: min(cuts)] if cuts else text)
        return texts
