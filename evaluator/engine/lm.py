"""`EvaluatorLM`: lm-eval asks it, a `Subject` answers, and what was answered is kept as primitives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from evaluator.subject import Scored, Subject

#: Long enough for a full refusal sentence; the same for every method.
MAX_NEW_TOKENS = 32


def tokenizer_load(base: Path) -> PreTrainedTokenizerBase:
    """The base model's tokenizer; no code of the model directory is run."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    return tokenizer


class EvaluatorLM(TemplateLM):
    """lm-eval's `LM` over a `Subject`.

    `scored[(context, continuation)]` and `generated[context]` hold the primitives of every request; each
    distinct request is answered once.
    """

    backend = "causal"

    def __init__(self, subject: Subject, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.subject = subject
        self.tokenizer: Any = tokenizer
        self.scored: dict[tuple[str, str], Scored] = {}
        self.generated: dict[str, str] = {}

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def tokenizer_name(self) -> str:
        return os.path.basename(str(self.tokenizer.name_or_path))

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        ids: list[int] = self.tokenizer.encode(string, add_special_tokens=bool(add_special_tokens))
        return ids

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        text: str = self.tokenizer.apply_chat_template(
            chat_history, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        new = {key: (context, continuation) for key, context, continuation in requests if key not in self.scored}
        for key, scored in zip(new, self.subject.score(list(new.values())), strict=True):
            self.scored[key] = scored
        return [(sum(self.scored[key].logprobs), all(self.scored[key].hits)) for key, _, _ in requests]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Sum of log-probabilities of each whole text after the prefix token, in one window of 2,048 tokens."""
        pairs: list[tuple[list[int], list[int]]] = []
        for request in requests:
            pairs.append(([self.prefix_token_id], self.tok_encode(request.args[0])[:2047]))
        return [sum(scored.logprobs) for scored in self.subject.score(pairs)]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        groups: dict[tuple[int, tuple[str, ...]], list[str]] = {}
        for request in requests:
            context, options = request.args
            stop = options.get("until") or []
            stop = (stop,) if isinstance(stop, str) else tuple(stop)
            group = groups.setdefault((int(options.get("max_gen_toks", MAX_NEW_TOKENS)), stop), [])
            if context not in self.generated and context not in group:
                group.append(context)
        for (max_tokens, stop), contexts in groups.items():
            prompts: Sequence[list[int]] = [self.tok_encode(context) for context in contexts]
            for context, text in zip(
                contexts, self.subject.generate(prompts, max_tokens=max_tokens, stop=stop), strict=True
            ):
                self.generated[context] = text
        return [self.generated[request.args[0]] for request in requests]
