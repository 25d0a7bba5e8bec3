"""Cluster bootstrap: subjects are drawn with replacement within each part of a release, and every mean follows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from evaluator.measures.metrics.board import MEANS, FloatArray
from evaluator.probes import PLAIN

RESAMPLES = 10_000
#: All probes about a subject of which something is to be forgotten belong together; multiple choice and neutral text
#: measure utility.
STRATUM = {
    "verbatim": "forget",
    "paraphrase": "forget",
    "same_subject": "forget",
    "lookalike": "forget",
    "neighbour": "neighbour",
    "same_answer": "same_answer",
    "retain": "retain",
    "choice": "utility",
    "text": "utility",
}

#: Of one entry and one mean: (sum of values, number of probes) per subject, each of shape (subjects,).
Sums = Mapping[str, tuple[FloatArray, FloatArray]]


def stratum_of(kind: str) -> str:
    """The part of a release that a probe kind is drawn from. Raises `ValueError` for an unknown kind."""
    if kind not in STRATUM:
        raise ValueError(f"kind: {kind!r} is no probe kind; known: {', '.join(STRATUM)}")
    return STRATUM[kind]


@dataclass(frozen=True)
class ProbeTable:
    """The probes of one entry as columns: `values[name]` has one float a probe, NaN where not run."""

    subject_key: tuple[str, ...]
    kind: tuple[str, ...]
    base_correct: tuple[bool, ...]
    values: Mapping[str, FloatArray]
    condition: tuple[str, ...] = ()  # the attack that each was asked under; nothing where all were asked plainly

    @property
    def conditions(self) -> tuple[str, ...]:
        return self.condition or (PLAIN,) * len(self.kind)

    def same_probes(self, other: ProbeTable) -> bool:
        """Whether two tables are about the same probes in the same order, known to the same base."""
        mine, theirs = ((t.subject_key, t.kind, t.base_correct, t.conditions) for t in (self, other))
        return mine == theirs

    def mean_over_seeds(self, others: Sequence[ProbeTable]) -> ProbeTable:
        """The mean of this table and others of the same release, probe by probe."""
        if not others:
            return self
        if not all(self.same_probes(other) for other in others):
            raise ValueError("traces: the runs of one entry hold different probes; they are not of one release")
        stacked = {name: np.mean([t.values[name] for t in (self, *others)], axis=0) for name in self.values}
        return replace(self, values=stacked)


def generator(*names: str) -> np.random.Generator:
    """Random numbers that depend on the names alone."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


class Resampler:
    """Bootstrap weights over the subjects of one release.

    They depend on the key and the subjects alone: the same for every entry, so that differences are paired, and the
    same for an entry on its own as on a board.
    """

    def __init__(self, table: ProbeTable, *, key: str, resamples: int = RESAMPLES) -> None:
        strata: dict[str, set[str]] = {}
        for subject, kind in zip(table.subject_key, table.kind, strict=True):
            strata.setdefault(stratum_of(kind), set()).add(subject)
        self.key = key
        self.resamples = resamples
        self.index: dict[tuple[str, str], int] = {}
        #: The columns of `weights` that belong to each stratum.
        self.strata: dict[str, slice] = {}
        blocks: list[FloatArray] = []
        rng = generator(key)
        for stratum in sorted(strata):
            subjects = sorted(strata[stratum])
            self.strata[stratum] = slice(len(self.index), len(self.index) + len(subjects))
            for subject in subjects:
                self.index[(stratum, subject)] = len(self.index)
            n = len(subjects)
            blocks.append(rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64))
        #: Shape (resamples, subjects): how often each subject was drawn.
        self.weights: FloatArray = np.concatenate(blocks, axis=1) if blocks else np.empty((resamples, 0))
        self._unseen: dict[tuple[str, int], FloatArray] = {}

    def sums(self, table: ProbeTable) -> Sums:
        """What the means of one entry are made of; probes without a value count nowhere."""
        clusters = np.array(
            [self.index[(stratum_of(k), s)] for s, k in zip(table.subject_key, table.kind, strict=True)]
        )
        kinds = np.array(table.kind)
        correct = np.array(table.base_correct, dtype=bool)
        conditions = np.array(table.conditions)
        masks: dict[tuple[tuple[str, ...], bool, tuple[str, ...] | None], npt.NDArray[np.bool_]] = {}
        found = {}
        for name, mean in MEANS.items():
            part = (mean.kinds, mean.base_correct, mean.conditions)
            if part not in masks:
                mask = np.isin(kinds, mean.kinds)
                if mean.conditions is not None:
                    mask &= np.isin(conditions, mean.conditions)
                masks[part] = mask & correct if mean.base_correct else mask
            value = table.values[mean.value]
            use = masks[part] & ~np.isnan(value)
            size = len(self.index)
            found[name] = (
                np.bincount(clusters[use], weights=value[use], minlength=size).astype(np.float64),
                np.bincount(clusters[use], minlength=size).astype(np.float64),
            )
        return found

    def unseen(self, stratum: str, subjects: int) -> FloatArray:
        """The share that a subject of a kind not seen yet may have, per resample, shape (resamples,).

        Drawn from Beta(1/2, n + 1/2): what Jeffreys' prior leaves to the outcome that none of n subjects showed.
        """
        if (stratum, subjects) not in self._unseen:
            # One numerator a stratum, so that means over nearly the same subjects move together.
            rare = generator(self.key, "unseen", stratum).standard_gamma(0.5, self.resamples)
            rest = generator(self.key, "seen", stratum, str(subjects)).standard_gamma(subjects + 0.5, self.resamples)
            self._unseen[(stratum, subjects)] = rare / (rare + rest)
        return self._unseen[(stratum, subjects)]
