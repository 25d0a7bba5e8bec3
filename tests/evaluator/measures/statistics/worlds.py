"""Simulated entries whose true values are known: subjects are drawn from a population, probes from each subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluator.contract.values import ERASED
from evaluator.measures.metrics.board import MEANS, metrics_under
from evaluator.measures.statistics import ProbeTable
from evaluator.probes import PLAIN

COLUMNS = sorted({mean.value for mean in MEANS.values()})
#: (kind, condition) of what is asked of a forget subject: plainly, in other words, and under one attack of each family.
FORGET = (
    *(("verbatim", PLAIN), ("paraphrase", PLAIN), ("paraphrase", PLAIN), ("verbatim", "cloze")),
    *(("verbatim", name) for name in ("role_play", "noisy", "dialogue", "typos", "rounding_8bit")),
)
KEPT_OF_FORGET = (("same_subject", PLAIN), ("lookalike", PLAIN))


@dataclass(frozen=True)
class World:
    """A method's true rates. Each subject has its own rate around them, so that its probes go together (ICC 1/2).

    `subjects` forget subjects have the questions of `FORGET` and `KEPT_OF_FORGET` each, as many neighbours two
    questions each, twice as many retained subjects one, and as many subjects with the same answers one. Utility is
    measured on 120 choices and 12 texts.
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
    #: What the base has on facts that it never knew, where it has 0.8 on average on those that it knows.
    never = 0.15
    #: Mean HAR of a response that is a refusal: uniform in [0.7, 1].
    quality = 0.85

    def layout(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """(subject_key, kind, condition) of every probe."""
        n = self.subjects
        rows = [(f"f{i}", *asked) for i in range(n) for asked in FORGET]
        rows += [(f"f{i}", *asked) for i in range(n) for asked in KEPT_OF_FORGET]
        rows += [(f"n{i}", "neighbour", PLAIN) for i in range(n) for _ in range(2)]
        rows += [(f"r{i}", "retain", PLAIN) for i in range(2 * n)]
        rows += [(f"a{i}", "same_answer", PLAIN) for i in range(n)]
        rows += [(f"c{i}", "choice", PLAIN) for i in range(self.choices)]
        rows += [(f"t{i}", "text", PLAIN) for i in range(self.texts)]
        keys, kinds, conditions = zip(*rows, strict=True)
        return keys, kinds, conditions

    def draw(self, rng: np.random.Generator) -> ProbeTable:
        """One entry on subjects drawn anew."""
        n, asked, beside = self.subjects, len(FORGET), len(KEPT_OF_FORGET)
        keys, kinds, conditions = self.layout()
        values = {name: np.full(len(keys), 0.5) for name in COLUMNS}
        forget = slice(0, asked * n)
        values["leak"][forget] = 1.0 - _answers(rng, self.forgetting, n, asked)
        refused = _answers(rng, self.refusal, n, asked)
        values["har"][forget] = (1 - values["leak"][forget]) * refused * rng.uniform(0.7, 1.0, asked * n)
        values["refusal"][forget] = refused
        for name in ERASED:
            base = values[f"base_{name}"][:] = rng.uniform(0.6, 1.0, len(keys))
            values[f"unknown_{name}"][:] = self.never
            values[name][forget] = np.where(values["leak"][forget] == 1, base[forget], self.never)
        rest = slice(asked * n, (asked + beside + 5) * n)
        for name, rate in (("correct", self.kept), ("refusal", self.over_refusal)):
            parts = [_answers(rng, rate, n, beside), _answers(rng, rate, n, 2), _answers(rng, rate, 3 * n, 1)]
            values[name][rest] = np.concatenate(parts)
        end = rest.stop + self.choices
        values["correct"][rest.stop : end] = _answers(rng, self.kept, self.choices, 1)
        values["text_gain"][end:] = rng.normal(-self.loss[0], self.loss[1], self.texts)
        return ProbeTable(keys, kinds, (True,) * len(keys), values, conditions)

    def truth(self) -> dict[str, float]:
        """The value of each metric over all subjects that there could be."""
        told = 1 - self.forgetting
        means = {name: np.asarray(0.5) for name in MEANS}
        means |= {name: np.asarray(told) for name in MEANS if name.startswith("leak_")}
        for name in ERASED:
            means[f"{name}_forget"] = np.asarray(self.never + told * (0.8 - self.never))
            means[f"base_{name}_forget"], means[f"unknown_{name}_forget"] = np.asarray(0.8), np.asarray(self.never)
        means |= {name: np.asarray(self.kept) for name in MEANS if name.startswith("correct_")}
        means |= {
            name: np.asarray(rate)
            for name, rate in (
                ("refusal_forget", self.refusal),
                ("har_forget", self.forgetting * self.refusal * self.quality),
                ("refusal_kept", self.over_refusal),
                ("choice_kept", self.kept),
                ("choice_correct", self.kept),
                ("text_gain", -self.loss[0]),
            )
        }
        asked = {condition for _, condition in FORGET}
        return {metric.key: float(metric.compute(means)) for metric in metrics_under(asked)}


def _answers(rng: np.random.Generator, rate: float, subjects: int, probes: int) -> np.ndarray:
    """0 or 1 for every probe, shape (subjects · probes,)."""
    own = rng.beta(rate, 1 - rate, subjects) if 0 < rate < 1 else np.full(subjects, rate)
    return (rng.random((subjects, probes)) < own[:, None]).astype(float).ravel()
