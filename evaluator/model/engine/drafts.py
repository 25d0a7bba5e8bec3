"""Guesses of what a model will say: the draft of a prompt, and what other answers said after the same few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: So many tokens before it say which continuation of an earlier answer is guessed.
BEFORE = 3
#: The weight of the newest guess in the share of those that were right.
LATELY = 0.02
#: Stands before the first token of every answer.
_START = (-1,) * BEFORE


class Drafts:
    """What is guessed costs time at most: a guess counts only where the model itself says it.

    `drafts`: by the ids of a prompt, those of an answer that another model gave to it, its end included. Answers are
    learned in the order in which they end, so that guesses depend on the prompts, the drafts and the model alone.
    """

    def __init__(self, drafts: Mapping[tuple[int, ...], Sequence[int]], end: int) -> None:
        self._drafts = drafts
        self._end = end
        self._after: dict[tuple[int, ...], tuple[tuple[int, ...], int]] = {}
        for prompt in sorted(drafts):
            self._learn(tuple(drafts[prompt]))
        #: How often the first token of what `after` gave was right of late; well at first.
        self.share = 0.5

    def of(self, prompt: Sequence[int], most: int) -> list[int]:
        """The draft of a prompt, at most so many tokens of it."""
        return list(self._drafts.get(tuple(prompt), ()))[:most]

    def after(self, said: Sequence[int], most: int) -> list[int]:
        """What the answer learned last said after the same last tokens; nothing where none did."""
        found = self._after.get((*_START, *said)[-BEFORE:])
        if found is None or most <= 0:
            return []
        text, place = found
        return list(text[place : place + most])

    def tell(self, right: bool) -> None:
        """Whether the first token that `after` gave was what the model said."""
        self.share += (right - self.share) * LATELY

    def learn(self, said: Sequence[int]) -> None:
        """Remember a whole answer, given without its end."""
        self._learn((*said, self._end))

    def _learn(self, said: tuple[int, ...]) -> None:
        text = (*_START, *said)
        for place in range(BEFORE, len(text)):
            self._after[text[place - BEFORE : place]] = (text, place)
