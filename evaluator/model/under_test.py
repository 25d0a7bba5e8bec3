"""What the engine asks of a model under test: score given tokens, and continue greedily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Scored:
    """Teacher-forced primitives of one continuation of T tokens.

    `logprobs`: T natural log-probabilities. `hits`: T flags, whether the token is the argmax.
    The others are empty where only a server's answer is known: `ranks`: T places of the token in the vocabulary,
    1 the most probable (ties share the better one). `means`, `variances`: T means (nats) and variances (nats²) of
    the log-probability of a token drawn from the model's own distribution at that place (min-k++ is made of them).
    """

    logprobs: tuple[float, ...]
    hits: tuple[bool, ...]
    ranks: tuple[int, ...] = ()
    means: tuple[float, ...] = ()
    variances: tuple[float, ...] = ()

    def _cut(self, part: slice) -> Scored:
        return Scored(self.logprobs[part], self.hits[part], self.ranks[part], self.means[part], self.variances[part])

    def before(self, count: int) -> Scored:
        """The first `count` tokens alone."""
        return self._cut(slice(count))

    def after(self, count: int) -> Scored:
        """Without the first `count` tokens."""
        return self._cut(slice(count, None))


class ModelUnderTest(Protocol):
    """A model under test. Token ids in, primitives or text out; order of the answers is order of the questions."""

    @property
    def max_tokens(self) -> int:
        """Most tokens of one sequence, prompt and continuation together."""
        ...

    def score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored]:
        """(context ids, continuation ids) → primitives of the continuation."""
        ...

    def generate(
        self, prompts: Sequence[list[int]], *, max_tokens: int, stop: Sequence[str], drafts: Sequence[str] = ()
    ) -> list[str]:
        """Greedy continuation of each prompt, cut before the first stop string or the end of sequence. `drafts`: a
        guess for each prompt, "" for none; they make it faster at most.
        """
        ...


@runtime_checkable
class Sampler(Protocol):
    """A model under test that can also draw answers."""

    def sample(
        self, prompts: Sequence[list[int]], *, count: int, temperature: float, max_tokens: int
    ) -> list[list[str]]:
        """`count` continuations of each prompt, drawn at a temperature; the same every time."""
        ...
