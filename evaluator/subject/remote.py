"""A remote server: the method's `serve` container, asked over its unix socket in the OpenAI completions form."""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.subject.protocol import Scored

MAX_ANSWER_CHARS = 20_000
#: What a server is asked at most in one sequence.
MAX_TOKENS = 2048


#: Environment (and a row of the configuration page): requests that a server gets at a time.
IN_FLIGHT = "PALIMPSEST_SERVER_IN_FLIGHT"
_DEFAULT_IN_FLIGHT = 2
_MOST_IN_FLIGHT = 64

Body = dict[str, Any]
Choices = list[dict[str, Any]]


def in_flight_read() -> int:
    """The bound that the environment asks for. Raises `ValueError` that names it."""
    text = os.environ.get(IN_FLIGHT) or str(_DEFAULT_IN_FLIGHT)
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_IN_FLIGHT:
        raise ValueError(f"{IN_FLIGHT}: {text!r} is no number of requests: give one from 1 to {_MOST_IN_FLIGHT}")
    return int(text)


class RemoteSubject:
    """`Subject` over HTTP: an order shuffled by `seed`, a few prompts at a time, no mark of the split.

    Up to `in_flight` requests are out at once; one batch (a check of statelessness, say) is one request, alone.
    A server that answers none of them within `timeout_s` has died.
    """

    max_tokens = MAX_TOKENS

    def __init__(
        self,
        socket: Path,
        *,
        seed: int,
        batch_size: int = 16,
        timeout_s: float = 300.0,
        in_flight: int | None = None,
    ) -> None:
        self.socket = socket
        self.seed = seed
        self.batch_size = batch_size
        self.timeout_s = timeout_s
        self.in_flight = in_flight_read() if in_flight is None else in_flight

    def _ask(self, bodies: Sequence[Body]) -> list[Choices]:
        """The choices of each request, in the order of `bodies`. Raises the first failure; the rest is not asked."""
        try:
            return asyncio.run(self._ask_all(bodies))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        except TimeoutError:
            detail = f"POST /v1/completions: no answer within {self.timeout_s:g} s"
            raise EvaluationFailed(FailureCode.SERVER_DIED, detail) from None

    async def _ask_all(self, bodies: Sequence[Body]) -> list[Choices]:
        waiting = iter(enumerate(bodies))
        answers: dict[int, Choices] = {}
        clock = asyncio.get_running_loop().time
        # A connection a request: a server with one thread could not take the second while the first is kept open.
        transport = httpx2.AsyncHTTPTransport(
            uds=str(self.socket), limits=httpx2.Limits(max_keepalive_connections=0, max_connections=self.in_flight)
        )
        async with (
            httpx2.AsyncClient(transport=transport, base_url="http://method", timeout=None) as client,
            asyncio.timeout(self.timeout_s) as patience,
            asyncio.TaskGroup() as group,
        ):

            async def ask_in_turn() -> None:
                for number, body in waiting:
                    answers[number] = await _answer(client, body)
                    patience.reschedule(clock() + self.timeout_s)

            for _ in range(min(self.in_flight, len(bodies))):
                group.create_task(ask_in_turn())
        return [answers[number] for number in range(len(bodies))]

    def _shuffled(self, n: int, salt: str) -> list[list[int]]:
        order = list(range(n))
        random.Random(f"{self.seed}:{salt}").shuffle(order)
        return [order[i : i + self.batch_size] for i in range(0, n, self.batch_size)]

    def score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored]:
        """See `Subject.score`. Raises `EvaluationFailed(server_not_conformant)` with the fault of the answer."""
        results: dict[int, Scored] = {}
        batches = self._shuffled(len(pairs), "score")
        bodies = [
            {
                "prompt": [pairs[i][0] + pairs[i][1] for i in batch],
                "context_len": [len(pairs[i][0]) for i in batch],
                "echo": True,
                "logprobs": 1,
                "max_tokens": 1,
                "temperature": 0,
                "seed": 0,
            }
            for batch in batches
        ]
        for batch, choices in zip(batches, self._ask(bodies), strict=True):
            for index, choice in zip(batch, choices, strict=True):
                results[index] = _scored(choice, *pairs[index])
        return [results[i] for i in range(len(pairs))]

    def generate(self, prompts: Sequence[list[int]], *, max_tokens: int, stop: Sequence[str]) -> list[str]:
        """See `Subject.generate`."""
        texts: dict[int, str] = {}
        batches = self._shuffled(len(prompts), "generate")
        bodies = [
            {
                "prompt": [prompts[i] for i in batch],
                "context_len": [len(prompts[i]) for i in batch],
                "max_tokens": max_tokens,
                "temperature": 0,
                "stop": list(stop),
                "seed": 0,
            }
            for batch in batches
        ]
        for batch, choices in zip(batches, self._ask(bodies), strict=True):
            for index, choice in zip(batch, choices, strict=True):
                text = choice.get("text")
                if not isinstance(text, str):
                    raise EvaluationFailed(FailureCode.SERVER_NOT_CONFORMANT, "choices[].text: is not a string")
                texts[index] = text[:MAX_ANSWER_CHARS]
        return [texts[i] for i in range(len(prompts))]


async def _answer(client: httpx2.AsyncClient, body: Body) -> Choices:
    """One request's choices, in the order of its prompts. Raises `EvaluationFailed`."""
    n = len(body["prompt"])
    try:
        response = await client.post("/v1/completions", json=body)
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
