"""A model under test whose time is counted, by what it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from evaluator.contract.seconds import Decoded, TimedStage
from evaluator.model.under_test import ModelUnderTest, Scored
from evaluator.pipeline.clock import Clock

if TYPE_CHECKING:
    from evaluator.model.local import LocalModel


class TimedModel:
    """See `ModelUnderTest`. Answers of a model after an attack count for the attack."""

    def __init__(self, model: ModelUnderTest, clock: Clock, *, attacked: bool = False) -> None:
        self._model, self._clock = model, clock
        self._generating: TimedStage = "attack" if attacked else "generate"
        self._scoring: TimedStage = "attack" if attacked else "logprobs"

    @property
    def max_tokens(self) -> int:
        return self._model.max_tokens

    def score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Scored]:
        with self._clock.stage(self._scoring):
            return self._model.score(pairs)

    def generate(
        self, prompts: Sequence[list[int]], *, max_tokens: int, stop: Sequence[str], drafts: Sequence[str] = ()
    ) -> list[str]:
        with self._clock.stage(self._generating):
            return self._model.generate(prompts, max_tokens=max_tokens, stop=stop, drafts=drafts)


class TimedWeights(TimedModel):
    """Weights in this process: how their decoding went is counted too, and they can draw answers, which is an attack
    (see `Sampler`).
    """

    def __init__(self, weights: LocalModel, clock: Clock, *, attacked: bool = False) -> None:
        super().__init__(weights, clock, attacked=attacked)
        self._weights = weights

    def generate(
        self, prompts: Sequence[list[int]], *, max_tokens: int, stop: Sequence[str], drafts: Sequence[str] = ()
    ) -> list[str]:
        before = asdict(self._weights.pace)
        texts = super().generate(prompts, max_tokens=max_tokens, stop=stop, drafts=drafts)
        after = asdict(self._weights.pace)
        self._clock.count(Decoded(**{name: after[name] - before[name] for name in after}))
        return texts

    def sample(
        self, prompts: Sequence[list[int]], *, count: int, temperature: float, max_tokens: int
    ) -> list[list[str]]:
        with self._clock.stage("attack"):
            return self._weights.sample(prompts, count=count, temperature=temperature, max_tokens=max_tokens)
