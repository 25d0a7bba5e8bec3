"""Attackers: each scores every candidate by what is published, and names as many as are to be forgotten.

A score is a log-likelihood ratio, or what stands for one; `prior` is how often the builder takes a candidate, which
anybody can find out by building. Ties are broken by the prior alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from evaluator.contract.disclosure import HIDDEN_DECIMALS
from evaluator.contract.values import names_of
from evaluator.measures.metrics.board import FloatArray
from evaluator.reidentify.candidates import Candidates
from evaluator.reidentify.publication import Publication, Published

#: Columns that are made of one value of the verbatim questions, which are worded as everybody can word them. The truth
#: ratio is none: it hangs on wrong answers that the secret has chosen.
VERBATIM = ("answer_probability", "extraction_strength", "exact_memorization", "mrr", "rouge_l")
#: Their versions from when they were the plain means of that value, and not what is left of the base's.
PLAIN_MEANS = frozenset(f"{key}@{2 if key == 'extraction_strength' else 1}" for key in VERBATIM)
MARKS, SHARES = names_of("mark"), names_of("share")
#: The variance of a rounding to the last decimal that is shown.
ROUNDING = 10.0 ** (-2 * HIDDEN_DECIMALS) / 12
#: Values to three decimals agree within this.
AGREES = 6e-4
#: No value is taken to be surer than this.
LEAST_VARIANCE = 1e-6
#: The reference entry that is the base itself.
BASE = "base"


@dataclass(frozen=True)
class Seen:
    """What an attacker has of a release: `hidden` is published of it, `public` of the benchmark's public split."""

    candidates: Candidates
    prior: FloatArray
    hidden: Publication
    public: Publication | None = None


Attacker = Callable[[Seen], FloatArray]


def guesses(seen: Seen, attacker: Attacker) -> list[str]:
    """The keys that an attacker names: those of the highest posterior, as many as the release forgets."""
    with np.errstate(divide="ignore"):
        posterior = np.log(seen.prior) + attacker(seen)
    order = np.lexsort((-seen.prior, -posterior))
    return [seen.candidates.keys[i] for i in order[: seen.hidden.card.size]]


def by_text(seen: Seen) -> FloatArray:
    """Whose subject stands in a published text."""
    whole = "\n".join(seen.hidden.texts)
    return np.array([10.0 * bool(re.search(rf"\b{re.escape(name)}\b", whole)) for name in seen.candidates.subjects])


def by_rows(seen: Seen) -> FloatArray:
    """Whose own values stand in a row of the untouched base's trace: each value that agrees to three decimals counts by
    how few candidates it agrees with, and the best row is taken. Values that hang on the secret (wrong answers) agree
    with nobody, and cost nothing.
    """
    base = seen.hidden.entries.get(BASE)
    rows = [row for row in base.rows if row["kind"] == "verbatim"] if base else []
    best = np.zeros(len(seen.candidates.keys))
    own = {name: seen.candidates.values(name) for name in (*SHARES, *MARKS)}
    for row in rows:
        total = np.zeros_like(best)
        for name, values in own.items():
            if row[name] is not None:
                agrees = np.abs(values - float(row[name])) < AGREES
                total -= agrees * np.log(agrees.mean() + 1e-12)
        best = np.maximum(best, total)
    return best


def by_means(seen: Seen) -> FloatArray:
    """Whose own values would move the published means to where they are: Homer et al. 2008, with every mean, count and
    interval that follows from what the base says to the verbatim questions, of every entry whose values on the public
    split follow from the base's.
    """
    observed = _observed(seen)
    if not observed:
        return np.zeros(len(seen.candidates.keys))
    size = seen.hidden.card.size
    own = np.stack([o.own for o in observed], axis=1)
    met = np.array([o.mean for o in observed])
    noise = np.diag([o.variance + LEAST_VARIANCE for o in observed])
    weights = seen.prior / seen.prior.sum()
    centre = weights @ own
    around = own - centre
    covariance = (around * weights[:, None]).T @ around
    out, held = covariance / size + noise, covariance * (size - 1) / size**2 + noise
    return np.asarray(_gaussian(met - centre - around / size, held) - _gaussian((met - centre)[None], out))


ATTACKERS: Mapping[str, Attacker] = {"text": by_text, "rows": by_rows, "means": by_means}


@dataclass(frozen=True)
class _Observed:
    """A mean of the base's values over the forget set, as it was concluded, and every candidate's own value."""

    own: FloatArray
    mean: float
    variance: float


def _gaussian(away: FloatArray, covariance: FloatArray) -> FloatArray:
    """Log density of a normal distribution at each row, up to what all rows share."""
    inverse = np.linalg.pinv(covariance)
    _, size = np.linalg.slogdet(covariance)
    return np.asarray(-0.5 * (np.einsum("ij,jk,ik->i", away, inverse, away) + size))


def _observed(seen: Seen) -> list[_Observed]:
    found = _marks(seen)
    for column in VERBATIM:
        own = seen.candidates.values(column)
        if np.isnan(own).any():
            continue
        means = [m for name in seen.hidden.entries if (m := _concluded(seen, name, column)) is not None]
        if means:
            # Entries tell of one and the same mean: the surest of them is taken, and no more is made of the others.
            mean, variance = min(means, key=lambda found: found[1])
            found.append(_Observed(own, mean, variance))
        found += _spread(seen, column, own)
    return found


def _marks(seen: Seen) -> list[_Observed]:
    """The shares of outcomes of the base on verbatim questions, counted in its trace."""
    base = seen.hidden.entries.get(BASE)
    rows = base.verbatim if base else []
    found = []
    for name in MARKS:
        counted = [float(row[name]) for row in rows if row[name] is not None]
        own = seen.candidates.values(name)
        if counted and not np.isnan(own).any() and own.var() > 0:
            found.append(_Observed(own, sum(counted) / len(counted), 0.0))
    return found


def _spread(seen: Seen, column: str, own: FloatArray) -> list[_Observed]:
    """The mean square of the base's values, from the interval of its mean."""
    base = seen.hidden.entries.get(BASE)
    score = base.score(column) if base else None
    if score is None or score.value is None or score.low is None or score.high is None:
        return []
    if score.version not in PLAIN_MEANS:
        return []
    variance = ((score.high - score.low) / 3.92) ** 2 * seen.hidden.card.size
    return [_Observed(own**2, score.value**2 + variance, (0.25 * variance) ** 2)]


def _concluded(seen: Seen, name: str, column: str) -> tuple[float, float] | None:
    """(mean, variance) of the base's mean, from a column of an entry. None where nothing follows.

    On the public split everybody sees how an entry's value of a fact follows from the base's: a + b · base, give or
    take `rest`. A column that is a share of the base's mean m is then b + a / m.
    """
    score = seen.hidden.entries[name].score(column)
    if score is None or (shown := score.value) is None:
        return None
    if name == BASE:
        a, b, rest, n = 0.0, 1.0, 0.0, 1
    else:
        pairs = _pairs(seen.public, name, column)
        if len(pairs) < 4:
            return None
        base, entry = pairs[:, 0], pairs[:, 1]
        b, a = np.polyfit(base, entry, 1) if base.var() > LEAST_VARIANCE else (0.0, float(entry.mean()))
        rest, n = float(np.var(entry - a - b * base)), len(pairs)
    noise = rest / seen.hidden.card.size + rest / n + ROUNDING
    if score.version in PLAIN_MEANS:
        return ((shown - a) / b, noise / b**2) if abs(b) > 0.05 else None
    if abs(shown - b) < 0.02 or abs(a) < 1e-3:
        return None
    mean = a / (shown - b)
    slope = mean**2 / a
    return mean, noise * slope**2 / max(mean, 1e-3) ** 2 + ROUNDING * slope**2


def _pairs(public: Publication | None, name: str, value: str) -> FloatArray:
    """(base's, entry's) value of every verbatim fact of the public split, (n, 2)."""
    if public is None or name not in public.entries or BASE not in public.entries:
        return np.zeros((0, 2))
    base, entry = (_by_item(public.entries[who], value) for who in (BASE, name))
    return np.array([(base[item], entry[item]) for item in base if item in entry]).reshape(-1, 2)


def _by_item(entry: Published, value: str) -> dict[str, float]:
    return {str(row["item_id"]): float(row[value]) for row in entry.verbatim if row[value] is not None}
