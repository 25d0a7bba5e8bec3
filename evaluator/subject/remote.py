"""A remote server: the method's `serve` container, asked over its unix socket in the OpenAI completions form."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.subject.protocol import Scored

MAX_ANSWER_CHARS = 20_000
#: What a server is asked at most in one sequence.
MAX_TOKENS = 2048


class RemoteSubject:
    """`Subject` over HTTP: an order shuffled by `seed`, a few prompts at a time, no mark of the split."""

    max_tokens = MAX_TOKENS

    def __init__(
        self,
        socket: Path,
        *,
        seed: int,
        batch_size: int = 16,
        timeout_s: float = 300.0,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.client = httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(socket)), base_url="http://method", timeout=timeout_s
        )
        self.seed = seed
        self.batch_size = batch_size
        self.alive = alive

    def close(self) -> None:
        self.client.close()

    def _ask(self, body: dict[str, Any], n: int) -> list[dict[str, Any]]:
        try:
            response = self.client.post("/v1/completions", json=body)
        except httpx2.HTTPError as error:
            raise EvaluationFailed(FailureCode.SERVER_DIED, f"POST /v1/completions: {type(error).__name__}") from None
        if response.status_code != 200:
            raise EvaluationFailed(
                FailureCode.SERVER_NOT_CONFORMANT,
                f"POST /v1/completions: status {response.status_code}, not 200: {response.text[:300]}",
            )
        try:
            choices = sorted(response.json()["choices"], key=lambda c: int(c["index"]))
            if [int(c["index"]) for c in choices] != list(range(n)):
                raise ValueError(f"choices: indices {[c['index'] for c in choices]}, not 0..{n - 1}")
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluationFailed(FailureCode.SERVER_NOT_CONFORMANT, f"choices: {error}") from None
        return choices

    def _shuffled(self, n: int, salt: str) -> list[list[int]]:
        order = list(range(n))
        random.Random(f"{self.seed}:{salt}").shuffle(order)
        return [order[i : i + self.batch_size] for i in range(0, n, self.batch_size)]

    def score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored]:
        """See `Subject.score`. Raises `EvaluationFailed(server_not_conformant)` with the fault of the answer."""
        results: dict[int, Scored] = {}
        for batch in self._shuffled(len(pairs), "score"):
            body = {
                "prompt": [pairs[i][0] + pairs[i][1] for i in batch],
                "context_len": [len(pairs[i][0]) for i in batch],
                "echo": True,
                "logprobs": 1,
                "max_tokens": 1,
                "temperature": 0,
                "seed": 0,
            }
            for index, choice in zip(batch, self._ask(body, len(batch)), strict=True):
                results[index] = _scored(choice, *pairs[index])
        return [results[i] for i in range(len(pairs))]

    def generate(self, prompts: Sequence[list[int]], *, max_tokens: int, stop: Sequence[str]) -> list[str]:
        """See `Subject.generate`."""
        texts: dict[int, str] = {}
        for batch in self._shuffled(len(prompts), "generate"):
            body = {
                "prompt": [prompts[i] for i in batch],
                "context_len": [len(prompts[i]) for i in batch],
                "max_tokens": max_tokens,
                "temperature": 0,
                "stop": list(stop),
                "seed": 0,
            }
            for index, choice in zip(batch, self._ask(body, len(batch)), strict=True):
                text = choice.get("text")
                if not isinstance(text, str):
                    raise EvaluationFailed(FailureCode.SERVER_NOT_CONFORMANT, "choices[].text: is not a string")
                texts[index] = text[:MAX_ANSWER_CHARS]
        return [texts[i] for i in range(len(prompts))]


def _scored(choice: dict[str, Any], context: list[int], continuation: list[int]) -> Scored:
    expected = len(context) + len(continuation) + 1
    try:
        token_logprobs = choice["logprobs"]["token_logprobs"]
        top = choice["logprobs"]["top_logprobs"]
        if len(token_logprobs) != expected or len(top) != expected:
            raise ValueError(
                f"logprobs: {len(token_logprobs)} and {len(top)} entries, not prompt length + 1 = {expected}"
            )
        if token_logprobs[0] is not None or top[0] is not None:
            raise ValueError("logprobs: entry 0 must be null in both arrays")
        span = range(len(context), len(context) + len(continuation))
        values = [float(token_logprobs[i]) for i in span]
        best = [max(float(v) for v in top[i].values()) for i in span]
        if any(not math.isfinite(v) or v > 1e-6 for v in values):
            raise ValueError("token_logprobs: must be finite natural logs, at most 0")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvaluationFailed(FailureCode.SERVER_NOT_CONFORMANT, f"choices[].logprobs: {error}") from None
    return Scored(tuple(values), tuple(v >= b for v, b in zip(values, best, strict=True)))
