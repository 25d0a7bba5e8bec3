"""`EvaluatorLM`: lm-eval asks it, a `ModelUnderTest` answers, and what was answered is kept as primitives."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from evaluator.model.engine.pack import common_prefix
from evaluator.model.engine.primitives import PrimitiveStore, primitive_key
from evaluator.model.under_test import ModelUnderTest, Sampler, Scored

#: Long enough for an answer that comes late; the same for every method and every probe.
MAX_NEW_TOKENS = 128
#: Requests that are computed and stored together. Fixed, so that a run that was stopped and resumed computes each
#: batch in the same layout, and its scores are the same bit for bit.
SCORED_CHUNK = 512
GENERATED_CHUNK = 256

Tokens = tuple[int, ...]
#: (prompt, most new tokens, stop strings)
Asked = tuple[str, int, tuple[str, ...]]


def tokenizer_load(base: Path) -> PreTrainedTokenizerBase:
    """The base model's tokenizer; no code of the model directory is run."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(base, trust_remote_code=False)  # nosec B615 # a local folder
    return tokenizer


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


class EvaluatorLM(TemplateLM):
    """lm-eval's `LM` over a `ModelUnderTest`.

    `scored[(context, continuation)]`, `rolled[text]` and `generated[(prompt, most tokens, stop strings)]` hold the
    primitives of every request; each distinct request is answered once. With a `store`, also once over several
    processes: `fingerprint` names the weights and their precision there. What the models of `draft_from`, the best
    guess first, answered to a prompt is checked as a draft instead of generated token by token.
    """

    backend = "causal"

    def __init__(
        self,
        under_test: ModelUnderTest,
        tokenizer: PreTrainedTokenizerBase,
        *,
        store: PrimitiveStore | None = None,
        fingerprint: str = "",
        draft_from: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if store is not None and not fingerprint:
            raise ValueError("fingerprint: is empty; a store needs the hash of the weights that answer")
        self.under_test = under_test
        self.tokenizer: Any = tokenizer
        self.store = store
        self.fingerprint = fingerprint
        self.draft_from = tuple(draft_from)
        self.scored: dict[tuple[str, str], Scored] = {}
        self.rolled: dict[str, Scored] = {}
        self.generated: dict[Asked, str] = {}
        self._encoded: dict[str, list[int]] = {}

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What comes before a text without a context: the begin-of-sequence token, as in lm-eval's `hf` model."""
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else int(begin)

    @property
    def max_length(self) -> int:
        """Most tokens of one sequence."""
        return self.under_test.max_tokens

    @property
    def tokenizer_name(self) -> str:
        return os.path.basename(str(self.tokenizer.name_or_path))

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids; every string is tokenised once."""
        if string not in self._encoded:
            self._encoded[string] = self.tokenizer.encode(string, add_special_tokens=bool(add_special_tokens))
        return list(self._encoded[string])

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        text: str = self.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text

    # ------------------------------------------------------------ scoring

    def score(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Scored]:
        """Primitives of (context ids, continuation ids) pairs: from the store where they are known."""
        wanted = [(tuple(context), tuple(continuation)) for context, continuation in pairs]
        found: dict[tuple[Tokens, Tokens], Scored] = {}
        for chunk in _chunks(sorted(set(wanted)), SCORED_CHUNK):
            keys = {pair: primitive_key(self.fingerprint, "score", *pair) for pair in chunk}
            known = self.store.scored_read(list(keys.values())) if self.store else {}
            if len(known) < len(chunk):
                answers = self.under_test.score(
                    [(list(context), list(continuation)) for context, continuation in chunk]
                )
                known = dict(zip(keys.values(), answers, strict=True))
                if self.store:
                    self.store.scored_write(known)
            found |= {pair: known[key] for pair, key in keys.items()}
        return [found[pair] for pair in wanted]

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        new = {
            key: (self._cut(key[1], context, continuation), continuation)
            for key, context, continuation in requests
            if key not in self.scored
        }
        self.scored |= dict(zip(new, self.score(list(new.values())), strict=True))
        return [(sum(self.scored[key].logprobs), all(self.scored[key].hits)) for key, _, _ in requests]

    def answered(self, context: str, continuation: str) -> Scored:
        """Primitives of the continuation's own tokens; asked before as a log-likelihood.

        `scored` holds them as lm-eval counts them: it moves white space from the end of a context to the continuation,
        and a chat template ends with a line break.
        """
        before, after = self._encode_pair(context, continuation)
        whole = [*before, *after]
        shared = len(common_prefix([whole, self.tok_encode(context)], len(whole)))
        return self.scored[(context, continuation)].after(max(0, shared - len(before)))

    def _cut(self, text: str, context: list[int], continuation: list[int]) -> list[int]:
        """The end of a context that fits beside its continuation, whose last token is only a label.

        Raises `ValueError` for a continuation that leaves no room for a context.
        """
        room = self.max_length + 1 - len(continuation)
        if room < 1:
            raise ValueError(
                f"continuation: {text[:60]!r}… has {len(continuation)} tokens, the model takes {self.max_length}; "
                "shorten it, or score it as a rolling text"
            )
        return context[-room:]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Sum of log-probabilities of each whole text after the prefix token, in disjoint windows."""
        texts = list(dict.fromkeys(str(r.args[0]) for r in requests if str(r.args[0]) not in self.rolled))
        windows: list[tuple[list[int], list[int]]] = []
        counts: list[int] = []
        for text in texts:
            rolling = get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            own = [make_disjoint_window(window) for window in rolling]
            windows += own
            counts.append(len(own))
        answers = iter(self.score(windows))
        for text, count in zip(texts, counts, strict=True):
            self.rolled[text] = _joined([next(answers) for _ in range(count)])
        return [sum(self.rolled[str(request.args[0])].logprobs) for request in requests]

    # ------------------------------------------------------------ generation

    def generate(self, prompts: Sequence[str], *, max_tokens: int, stop: Sequence[str] = ()) -> list[str]:
        """Greedy continuations of prompts: from the store where they are known. Of a prompt that is too long only
        the end is read. Raises `ValueError` when `max_tokens` leaves no room for a prompt.
        """
        room = self.max_length - max_tokens
        if room < 1:
            raise ValueError(
                f"max_tokens: is {max_tokens}; the model takes {self.max_length} tokens, the prompt included"
            )
        options = (max_tokens, tuple(stop))
        wanted = sorted({p for p in prompts if (p, *options) not in self.generated}, key=lambda p: (len(p), p))
        for chunk in _chunks(wanted, GENERATED_CHUNK):
            ids = {prompt: self.tok_encode(prompt)[-room:] for prompt in chunk}
            keys = {p: primitive_key(self.fingerprint, "generate", ids[p], *options) for p in chunk}
            known = self.store.texts_read(list(keys.values())) if self.store else {}
            if len(known) < len(chunk):
                asked = list(ids.values())
                drafts = self.drafts(asked, options)
                texts = self.under_test.generate(asked, max_tokens=max_tokens, stop=stop, drafts=drafts)
                known = dict(zip(keys.values(), texts, strict=True))
                if self.store:
                    self.store.texts_write(known)
            self.generated |= {(p, *options): known[key] for p, key in keys.items()}
        return [self.generated[(p, *options)] for p in prompts]

    def drafts(self, ids: Sequence[list[int]], options: tuple[int, tuple[str, ...]]) -> list[str]:
        """What other models of the store answered to prompts (token ids) under the same (max_tokens, stop): an empty
        text where none did, nothing at all without a model to take drafts from.
        """
        if not self.store or not self.draft_from:
            return []
        found = [""] * len(ids)
        for fingerprint in self.draft_from:
            keys = [primitive_key(fingerprint, "generate", tokens, *options) for tokens in ids]
            known = self.store.texts_read(keys)
            found = [have or known.get(key, "") for have, key in zip(found, keys, strict=True)]
        return found

    def sampled(self, prompts: Sequence[str], *, count: int, temperature: float, max_tokens: int) -> list[list[str]]:
        """`count` answers to each prompt, drawn at a temperature with a fixed seed: from the store where they are
        known. Raises `TypeError` for a model under test that does not sample (a server).
        """
        if not isinstance(self.under_test, Sampler):
            raise TypeError("sampled: this model under test answers greedily; sampling is for sealed weights")
        asked = list(dict.fromkeys(prompts))
        ids = [self.tok_encode(prompt)[-(self.max_length - max_tokens) :] for prompt in asked]
        options = (count, temperature, max_tokens)
        keys = [primitive_key(self.fingerprint, "sample", tokens, *options) for tokens in ids]
        known = self.store.texts_read(keys) if self.store else {}
        if len(known) < len(set(keys)):
            drawn = self.under_test.sample(ids, count=count, temperature=temperature, max_tokens=max_tokens)
            known = {key: json.dumps(texts) for key, texts in zip(keys, drawn, strict=True)}
            if self.store:
                self.store.texts_write(known)
        found = {prompt: json.loads(known[key]) for prompt, key in zip(asked, keys, strict=True)}
        return [found[prompt] for prompt in prompts]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy only. Raises `ValueError` for a task that samples."""
        asked = [_options(request) for request in requests]
        groups: dict[tuple[int, tuple[str, ...]], list[str]] = {}
        for prompt, max_tokens, stop in asked:
            groups.setdefault((max_tokens, stop), []).append(prompt)
        for (max_tokens, stop), prompts in groups.items():
            self.generate(prompts, max_tokens=max_tokens, stop=stop)
        return [self.generated[one] for one in asked]


def _options(request: Instance) -> Asked:
    context, options = request.args
    if options.get("do_sample") and float(options.get("temperature") or 0) > 0:
        raise ValueError(f"do_sample: {options!r} samples; this engine decodes greedily, so that scores repeat")
    stop = options.get("until") or []
    return (
        str(context),
        int(options.get("max_gen_toks", MAX_NEW_TOKENS)),
        (stop,) if isinstance(stop, str) else tuple(stop),
    )


def _joined(parts: Sequence[Scored]) -> Scored:
    def flat(pick: Callable[[Scored], tuple[Any, ...]]) -> tuple[Any, ...]:
        return tuple(value for part in parts for value in pick(part))

    return Scored(
        flat(lambda s: s.logprobs),
        flat(lambda s: s.hits),
        flat(lambda s: s.ranks),
        flat(lambda s: s.means),
        flat(lambda s: s.variances),
    )
