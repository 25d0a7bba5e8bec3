"""Simulated entries whose true values are known: subjects are drawn from a population, probes from each subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluator.measures.metrics.board import MEANS, metrics_under
from evaluator.measures.statistics import ProbeTable
from evaluator.probes import PLAIN

COLUMNS = sorted({mean.value for mean in MEANS.values()})


@dataclass(frozen=True)
class World:
    """A method's true rates. Each subject has its own rate around them, so that its probes go together (ICC 1/2).

    `subjects` forget subjects have a verbatim question and three paraphrases each, as many neighbours two questions
    each, and twice as many retained subjects one. Utility is measured on 120 choices and 12 texts.
    """

    forgetting: float = 0.5
    kept: float = 0.8
    refusal: float = 0.5
    over_refusal: float = 0.1
    subjects: int = 50

    choices = 120
    texts = 12
    #: Nats a token that texts have lost: mean and standard deviation over texts.
    loss = (0.1, 0.08)
    #: Mean HAR of a response that is a refusal: uniform in [0.7, 1].
    quality = 0.85

    def layout(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(subject_key, kind) of every probe."""
        n = self.subjects
        keys = [f"f{i}" for i in range(n) for _ in range(4)]
        keys += [f"n{i}" for i in range(n) for _ in range(2)] + [f"r{i}" for i in range(2 * n)]
        keys += [f"c{i}" for i in range(self.choices)] + [f"t{i}" for i in range(self.texts)]
        kinds = ["verbatim", "paraphrase", "paraphrase", "paraphrase"] * n
        kinds += ["neighbour"] * (2 * n) + ["retain"] * (2 * n)
        kinds += ["choice"] * self.choices + ["text"] * self.texts
        return tuple(keys), tuple(kinds)

    def draw(self, rng: np.random.Generator) -> ProbeTable:
        """One entry on subjects drawn anew."""
        n = self.subjects
        keys, kinds = self.layout()
        values = {name: np.full(len(keys), 0.5) for name in COLUMNS}
        forget = slice(0, 4 * n)
        values["leak"][forget] = 1.0 - _answers(rng, self.forgetting, n, 4)
        refused = _answers(rng, self.refusal, n, 4)
        values["har"][forget] = refused * rng.uniform(0.7, 1.0, 4 * n)
        values["refusal"][forget] = refused
        rest = slice(4 * n, 8 * n)
        for name, rate in (("correct", self.kept), ("refusal", self.over_refusal)):
            values[name][rest] = np.concatenate([_answers(rng, rate, n, 2), _answers(rng, rate, 2 * n, 1)])
        values["correct"][8 * n : 8 * n + self.choices] = _answers(rng, self.kept, self.choices, 1)
        values["text_gain"][8 * n + self.choices :] = rng.normal(-self.loss[0], self.loss[1], self.texts)
        return ProbeTable(keys, kinds, (True,) * len(keys), values)

    def truth(self) -> dict[str, float]:
        """The value of each metric over all subjects that there could be."""
        means = {name: np.asarray(0.5) for name in MEANS} | {
            name: np.asarray(rate)
            for name, rate in (
                ("leak_verbatim", 1 - self.forgetting),
                ("leak_paraphrase", 1 - self.forgetting),
                ("leak_forget", 1 - self.forgetting),
                ("refusal_forget", self.refusal),
                ("har_forget", self.refusal * self.quality),
                ("correct_neighbour", self.kept),
                ("correct_retain", self.kept),
                ("correct_kept", self.kept),
                ("refusal_kept", self.over_refusal),
                ("choice_kept", self.kept),
                ("choice_correct", self.kept),
                ("text_gain", -self.loss[0]),
            )
        }
        return {metric.key: float(metric.compute(means)) for metric in metrics_under({PLAIN})}


def _answers(rng: np.random.Generator, rate: float, subjects: int, probes: int) -> np.ndarray:
    """0 or 1 for every probe, shape (subjects · probes,)."""
    own = rng.beta(rate, 1 - rate, subjects) if 0 < rate < 1 else np.full(subjects, rate)
    return (rng.random((subjects, probes)) < own[:, None]).astype(float).ravel()
