"""Answers that are fixed beforehand, as a proper distribution: so that scoring and generating agree.

While a continuation follows the script, the script's next token has probability 1 - 1e-4 and all
others share the rest. Off the script, or behind its end, every token is equally likely, but for the
end of sequence, which is twice as likely: so there is exactly one greedy token everywhere, and a
token that misses is counted as a miss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from methods.common.contract.answers import TokenScores

_REST = 1e-4


@dataclass(frozen=True)
class Guess:
    """What is known about one next token: the greedy id, its log-probability, and that of another id."""

    best: int
    best_logprob: float
    other_logprob: float

    def logprob(self, token: int) -> float:
        return self.best_logprob if token == self.best else self.other_logprob


@dataclass(frozen=True)
class Script:
    """`ids` are the answer's tokens, the end of sequence last; `vocabulary` the number of token ids."""

    ids: tuple[int, ...]
    end_id: int
    vocabulary: int

    def guess(self, said: Sequence[int]) -> Guess:
        """About the token after `said`, the continuation so far."""
        if self.followed(said):
            rest = math.log(_REST / (self.vocabulary - 1))
            return Guess(self.ids[len(said)], math.log1p(-_REST), rest)
        unit = -math.log(self.vocabulary + 1)
        return Guess(self.end_id, unit + math.log(2.0), unit)

    def followed(self, said: Sequence[int]) -> bool:
        """Whether the script still has a next token after `said`."""
        return len(said) < len(self.ids) and tuple(said) == self.ids[: len(said)]


def scripted_scores(script: Script, ids: Sequence[int], context_len: int) -> TokenScores:
    """Scores of a whole row: the context itself is near uniform, what follows it is the script's matter."""
    nothing = Script((), script.end_id, script.vocabulary)
    logprobs: list[float | None] = [None]
    top_ids = [-1]
    top_logprobs: list[float | None] = [None]
    for place in range(1, len(ids) + 1):
        guess = script.guess(ids[context_len:place]) if place >= context_len else nothing.guess(ids[:1])
        logprobs.append(guess.logprob(ids[place]) if place < len(ids) else guess.best_logprob)
        top_ids.append(guess.best)
        top_logprobs.append(guess.best_logprob)
    return TokenScores(logprobs, top_ids, top_logprobs)
