"""A remote server: the method's `serve` container, asked over its unix socket in the OpenAI completions form."""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from evaluator.contract import EvaluationFailed, FailureCode
from evaluator.model.under_test import Scored
from evaluator.model.wire import HEADERS, answer_read

MAX_ANSWER_CHARS = 20_000
#: What a server is asked at most in one sequence.
MAX_TOKENS = 2048
#: Room for one answer: many times what the contract's form needs, and far from what this process has.
_BYTES_A_CHOICE, _BYTES_A_TOKEN = 128 << 10, 512
#: How far above 0 a logarithm of a probability may lie by rounding.
_ROUNDING = 1e-6


#: Environment (and a row of the configuration page): requests that a server gets at a time.
IN_FLIGHT = "PALIMPSEST_SERVER_IN_FLIGHT"
_DEFAULT_IN_FLIGHT = 2
_MOST_IN_FLIGHT = 64
#: Prompts of one request, where the server does not say in `GET /health` how many it takes, and at most.
DEFAULT_BATCH, MOST_BATCH = 16, 64
_HEALTH_BYTES = 64 << 10

Body = dict[str, Any]
Choices = list[dict[str, Any]]
Answer = TypeVar("Answer")


def in_flight_read() -> int:
    """The bound that the environment asks for. Raises `ValueError` that names it."""
    text = os.environ.get(IN_FLIGHT) or str(_DEFAULT_IN_FLIGHT)
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_IN_FLIGHT:
        raise ValueError(f"{IN_FLIGHT}: {text!r} is no number of requests: give one from 1 to {_MOST_IN_FLIGHT}")
    return int(text)


class RemoteModel:
    """A server under test, over HTTP: shuffled by `seed`, which the server must not know; few at a time, no mark of the
    split.

    Up to `in_flight` requests are out at once; one batch (a check of statelessness, say) is one request, alone.
    A server that answers none of them within `timeout_s` has died. A request has `batch_size` prompts; None: as many
    as the server says that it takes.
    """

    max_tokens = MAX_TOKENS

    def __init__(
        self,
        socket: Path,
        *,
        seed: int | str,
        batch_size: int | None = None,
        timeout_s: float = 300.0,
        in_flight: int | None = None,
    ) -> None:
        self.socket = socket
        self.seed = seed
        self._batch_size = batch_size
        self.timeout_s = timeout_s
        self.in_flight = in_flight_read() if in_flight is None else in_flight

    @property
    def batch_size(self) -> int:
        """Prompts of one request. Raises `EvaluationFailed` where the server is asked and says no such number."""
        if self._batch_size is None:
            self._batch_size = _batch_said(self._run(self._health()))
        return self._batch_size

    def _ask(self, bodies: Sequence[Body]) -> list[Choices]:
        """The choices of each request, in the order of `bodies`. Raises the first failure; the rest is not asked."""
        return self._run(self._ask_all(bodies))

    def _run(self, asking: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            return asyncio.run(asking)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        except TimeoutError:
            detail = f"no answer within {self.timeout_s:g} s"
            raise EvaluationFailed(FailureCode.SERVER_DIED, detail) from None

    async def _ask_all(self, bodies: Sequence[Body]) -> list[Choices]:
        waiting = iter(enumerate(bodies))
        answers: dict[int, Choices] = {}
        clock = asyncio.get_running_loop().time
        async with (
            self._client() as client,
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

    async def _health(self) -> dict[str, Any]:
        """What the server says of itself; nothing where that is no JSON: a status of 200 is all that it owes."""
        async with self._client() as client, asyncio.timeout(self.timeout_s):
            try:
                return await answer_read(client, "/health", None, max_bytes=_HEALTH_BYTES)
            except EvaluationFailed as failure:
                if failure.code is not FailureCode.SERVER_NOT_CONFORMANT:
                    raise
                return {}

    def _client(self) -> httpx2.AsyncClient:
        """A connection a request: a server with one thread could not take the second while the first is kept open."""
        limits = httpx2.Limits(max_keepalive_connections=0, max_connections=self.in_flight)
        transport = httpx2.AsyncHTTPTransport(uds=str(self.socket), limits=limits)
        return httpx2.AsyncClient(transport=transport, base_url="http://method", headers=HEADERS, timeout=None)

    def _shuffled(self, prompts: Sequence[Sequence[int]], salt: str) -> list[list[int]]:
        """The places of the prompts in batches: in random order, but those of one prompt side by side.

        A server can then read a question once for all the answers that are scored behind it. That they belong
        together it sees anyway, by the question.
        """
        alike: dict[tuple[int, ...], list[int]] = {}
        for place, prompt in enumerate(prompts):
            alike.setdefault(tuple(prompt), []).append(place)
        groups = list(alike.values())
        chance = random.Random(f"{self.seed}:{salt}")  # nosec B311 # the seed is the secret
        chance.shuffle(groups)
        for group in groups:
            chance.shuffle(group)
        order = [place for group in groups for place in group]
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]

    def score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored]:
        """See `ModelUnderTest.score`. Raises `EvaluationFailed(server_not_conformant)` with the fault of the answer."""
        results: dict[int, Scored] = {}
        batches = self._shuffled([context for context, _ in pairs], "score")
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

    def generate(
        self, prompts: Sequence[list[int]], *, max_tokens: int, stop: Sequence[str], drafts: Sequence[str] = ()
    ) -> list[str]:
        """See `ModelUnderTest.generate`. Drafts go to the server, which has the base and could say them itself."""
        texts: dict[int, str] = {}
        batches = self._shuffled(prompts, "generate")
        bodies = [
            {
                "prompt": [prompts[i] for i in batch],
                "context_len": [len(prompts[i]) for i in batch],
                "max_tokens": max_tokens,
                "temperature": 0,
                "stop": list(stop),
                "seed": 0,
            }
            | ({"draft": [drafts[i] for i in batch]} if drafts else {})
            for batch in batches
        ]
        for batch, choices in zip(batches, self._ask(bodies), strict=True):
            for index, choice in zip(batch, choices, strict=True):
                text = choice.get("text")
                if not isinstance(text, str):
                    raise _refuse("choices[].text: is not a string")
                if any("\ud800" <= character <= "\udfff" for character in text):
                    raise _refuse("choices[].text: holds half a character (a lone surrogate)")
                texts[index] = text[:MAX_ANSWER_CHARS]
        return [texts[i] for i in range(len(prompts))]


def _batch_said(health: dict[str, Any]) -> int:
    batch = health.get("batch", DEFAULT_BATCH)
    if type(batch) is not int or not 1 <= batch <= MOST_BATCH:
        raise _refuse(
            f"GET /health: batch: {str(batch)[:40]} is no number of prompts; say 1 to {MOST_BATCH}, or leave it out"
        )
    return batch


async def _answer(client: httpx2.AsyncClient, body: Body) -> Choices:
    """One request's choices, in the order of its prompts. Raises `EvaluationFailed`."""
    prompts = body["prompt"]
    room = sum(_BYTES_A_CHOICE + _BYTES_A_TOKEN * (len(prompt) + 1) for prompt in prompts)
    choices = (await answer_read(client, "/v1/completions", body, max_bytes=room)).get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise _refuse("choices: is not a list of objects")
    indices = [choice.get("index") for choice in choices]
    if any(type(index) is not int for index in indices) or sorted(indices) != list(range(len(prompts))):
        raise _refuse(f"choices: indices {str(indices)[:200]}, not 0..{len(prompts) - 1}")
    return sorted(choices, key=lambda choice: int(choice["index"]))


def _scored(choice: dict[str, Any], context: list[int], continuation: list[int]) -> Scored:
    expected = len(context) + len(continuation) + 1
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        raise _refuse("choices[].logprobs: is not an object")
    token_logprobs, top = logprobs.get("token_logprobs"), logprobs.get("top_logprobs")
    if not isinstance(token_logprobs, list) or not isinstance(top, list):
        raise _refuse("choices[].logprobs: token_logprobs and top_logprobs must be lists")
    if len(token_logprobs) != expected or len(top) != expected:
        lengths = f"{len(token_logprobs)} and {len(top)}"
        raise _refuse(f"choices[].logprobs: {lengths} entries, not prompt length + 1 = {expected}")
    if token_logprobs[0] is not None or top[0] is not None:
        raise _refuse("choices[].logprobs: entry 0 must be null in both arrays")
    span = range(len(context), len(context) + len(continuation))
    values = [_number(token_logprobs[i], "token_logprobs") for i in span]
    if any(value > _ROUNDING for value in values):
        raise _refuse("choices[].logprobs.token_logprobs: must be natural logs of probabilities, at most 0")
    best = [max(_number(value, "top_logprobs") for value in _entries(top[i])) for i in span]
    return Scored(tuple(values), tuple(v >= b for v, b in zip(values, best, strict=True)))


def _entries(alternatives: Any) -> list[Any]:
    if not isinstance(alternatives, dict) or not alternatives:
        raise _refuse("choices[].logprobs.top_logprobs: every entry but the first must be an object that is not empty")
    return list(alternatives.values())


def _number(value: Any, field: str) -> float:
    """A finite number. JSON as Python reads it also has NaN, Infinity and integers beyond a float."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise _refuse(f"choices[].logprobs.{field}: {str(value)[:40]} is not a finite number")


def _refuse(problem: str) -> EvaluationFailed:
    return EvaluationFailed(FailureCode.SERVER_NOT_CONFORMANT, problem)
