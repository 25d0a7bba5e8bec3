"""What a server answers in, apart from how: rows, scores per token, and the responder's shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Row:
    """One prompt as token ids; routing may read `ids[:context_len]` only."""

    ids: tuple[int, ...]
    context_len: int

    @property
    def context(self) -> tuple[int, ...]:
        return self.ids[: self.context_len]


@dataclass(frozen=True)
class TokenScores:
    """Natural log-probabilities of one row of n tokens, as three lists of n + 1 entries.

    Entry i is about token i given the tokens before it; entry 0 is unknown (None, and id -1), and so may be the
    others of a context; entry n is about the greedy token that would follow the row.
    """

    logprobs: list[float | None]
    top_ids: list[int]
    top_logprobs: list[float | None]

    def __getitem__(self, part: slice) -> TokenScores:
        """Some of the entries."""
        return TokenScores(self.logprobs[part], self.top_ids[part], self.top_logprobs[part])

    @staticmethod
    def unknown(count: int) -> TokenScores:
        """Entries of which nothing is known."""
        return TokenScores([None] * count, [-1] * count, [None] * count)

    def __add__(self, behind: TokenScores) -> TokenScores:
        """These entries, then those."""
        return TokenScores(
            self.logprobs + behind.logprobs, self.top_ids + behind.top_ids, self.top_logprobs + behind.top_logprobs
        )


@dataclass(frozen=True)
class Completion:
    """One greedy continuation: its token ids, and whether it ended by itself ("stop") or not ("length")."""

    ids: tuple[int, ...]
    finish_reason: str


class Responder(Protocol):
    """Answers questions from tokens. One thread calls it at a time; every call is stateless."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text prompt, as the base model would be given them."""
        ...

    def decode(self, ids: Sequence[int], *, plain: bool) -> str:
        """The text of token ids; `plain` leaves special tokens out."""
        ...

    def vocabulary(self) -> int:
        """How many token ids there are; a larger id is an error of the caller."""
        ...

    def context_length(self, ids: Sequence[int]) -> int:
        """Where the question ends, when the caller did not say so."""
        ...

    def score(self, rows: Sequence[Row], *, contexts: bool = True) -> list[TokenScores]:
        """Scores of every row, in order. Without `contexts` the entries of a row's context may be left unknown."""
        ...

    def generate(
        self, rows: Sequence[Row], max_tokens: int, stops: Sequence[str], drafts: Sequence[str] = ()
    ) -> list[Completion]:
        """Greedy continuations of every row, in order; may end early once a stop string has appeared. `drafts`: what
        the base says to each, where it is known; it makes reading faster at most.
        """
        ...
