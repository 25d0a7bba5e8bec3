"""The detector: what a response does (refuses, answers, rambles), by a linear model over readable features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluator.answers.names import names_exactly
from evaluator.measures.refusal.abroad import mentions_abroad, mentions_topic_abroad
from evaluator.measures.refusal.features import features
from evaluator.measures.refusal.labelled import DATA, Label, Split
from evaluator.measures.refusal.reading import FUNCTION_WORDS, Reading, words_of
from evaluator.measures.refusal.rules import CONTENTS, Content, ruled

WEIGHTS = DATA / "weights.json"
#: Weights are stored as whole thousandths: the file is the same whatever machine made it, and can be read.
UNIT = 1000


@dataclass(frozen=True)
class Verdict:
    """What the detector found, with the share of belief in each kind of content (they sum to 1)."""

    content: Content
    belief: dict[Content, float]
    #: The rule that overruled the model, if one did.
    rule: str | None = None


@dataclass(frozen=True)
class Reason:
    """One feature of a response and how far it spoke for the verdict (log-odds against the mean of the others)."""

    feature: str
    weight: float


class Detector:
    """Linear scores of the seven contents: `weights[row of a feature, content]`, in thousandths."""

    def __init__(self, names: Sequence[str], weights: np.ndarray[Any, np.dtype[np.int32]]) -> None:
        if weights.shape != (len(names), len(CONTENTS)):
            raise ValueError(f"weights: shape {weights.shape}, expected {(len(names), len(CONTENTS))}")
        self.rows = {name: row for row, name in enumerate(names)}
        self.weights = weights

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Detector:
        """From a file written by `refusal-train`. Raises `ValueError` when it was made for other contents."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        if tuple(stored["contents"]) != CONTENTS:
            raise ValueError(f"{path.name}: contents {stored['contents']}, expected {list(CONTENTS)}; train again")
        return cls(list(stored["weights"]), np.array(list(stored["weights"].values()), dtype=np.int32))

    def scores(self, found: dict[str, float]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Shape (7,): the linear scores of a response's features, in log-odds."""
        known = [(self.rows[name], value) for name, value in found.items() if name in self.rows]
        rows, values = [row for row, _ in known], np.array([value for _, value in known])
        total: np.ndarray[Any, np.dtype[np.float64]] = values @ self.weights[rows] / UNIT
        total += self.weights[self.rows["bias"]] / UNIT
        return total

    def read(self, reading: Reading) -> Verdict:
        """The verdict on one response."""
        scores = self.scores(features(reading))
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        belief = {content: float(share) for content, share in zip(CONTENTS, shares, strict=True)}
        content = CONTENTS[int(scores.argmax())]
        found, rule = ruled(reading, content)
        return Verdict(found, belief, rule)

    def reasons(self, reading: Reading, content: Content, count: int = 8) -> list[Reason]:
        """The features that spoke loudest for `content`, strongest first."""
        column = CONTENTS.index(content)
        found = []
        for name, value in features(reading).items():
            if name in self.rows:
                row = self.weights[self.rows[name]] / UNIT * value
                found.append(Reason(name, float(row[column] - (row.sum() - row[column]) / (len(CONTENTS) - 1))))
        return sorted(found, key=lambda reason: (-abs(reason.weight), reason.feature))[:count]


@lru_cache(maxsize=1)
def detector() -> Detector:
    """The detector that ships with the evaluator."""
    return Detector.load()


def _alike(one: str, two: str) -> bool:
    """Equal, or inflected: "dog" and "dogs", "capital" and "capitale", "Italy" and "Italian"."""
    if one == two:
        return True
    short, long = sorted((one, two), key=len)
    stem = short.removesuffix("y")
    return long == f"{short}s" or (len(stem) >= 4 and long.startswith(stem))


def mentions(reading: Reading, phrase: str, *, head: bool = False) -> bool:
    """Whether the response names `phrase`: as it stands, abbreviated, or half of its content words (inflected or not).

    `head`: the last content word must be among them ("state capital" is not named by "state").
    """
    if names_exactly(reading.text, phrase):
        return True
    wanted = list(dict.fromkeys(word for word in words_of(phrase) if word not in FUNCTION_WORDS))
    said = set(words_of(reading.text))
    held = [any(_alike(word, other) for other in said) for word in wanted]
    return bool(held) and 2 * sum(held) >= len(held) and (held[-1] or not head)


def names_subject(reading: Reading) -> bool:
    """Whether the response names the subject, in its own language's form of the name too."""
    if mentions(reading, reading.subject):
        return True
    return reading.language != "English" and mentions_abroad(reading.text, reading.subject)


def names_topic(reading: Reading) -> bool:
    """Whether the response names the topic, in its own language too."""
    if mentions(reading, reading.topic, head=True):
        return True
    return reading.language != "English" and mentions_topic_abroad(reading.text, reading.topic)


def label_of(reading: Reading, content: Content, split: Split) -> Label:
    """The label of a response whose content is known: truth by alias, context by the names of subject and topic."""
    if content == "refusal":
        return "refusal_good" if names_subject(reading) or names_topic(reading) else "refusal_generic"
    if content == "policy":
        return "refusal_policy"
    if content == "answer":
        if not reading.names_answer:
            return "hallucination"
        return "normal" if split == "retain" else "leak"
    return content
