"""The metrics of knowledge editing: EasyEdit's, ROME's CounterFact scores, ConceptEdit's.

An edit's success is here the field's own direction: the *new* target is made likelier, so higher is better.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from evaluator.measures.metrics.open_unlearning import harmonic_mean_of, item_mean

#: (n, weight) of the n-gram entropies; their weighted values are averaged.
N_GRAMS = ((2, 2 / 3), (3, 4 / 3))


def token_accuracy(hits: Sequence[bool]) -> float | None:
    """Share of the target's tokens that are the argmax after the target's own prefix, in [0, 1]; higher is better.

    EasyEdit's rewrite, rephrase and portability accuracy. None for no tokens (EasyEdit drops them). Teacher forcing
    inflates it: the model is given the target's first tokens, and need not have produced them.
    """
    return sum(hits) / len(hits) if hits else None


def locality(before: Sequence[int], after: Sequence[int]) -> float | None:
    """Share of places where the argmax token is the same before and after the edit, in [0, 1]; higher is better.

    `before`, `after`: argmax token ids along the same locality target. None for no tokens. Cannot tell whether the
    token was right. Raises `ValueError` for different lengths. EasyEdit's numbers for GRACE are of free generation.
    """
    if len(before) != len(after):
        raise ValueError(f"locality: {len(before)} tokens before and {len(after)} after; they must be of one target")
    return sum(one == two for one, two in zip(before, after, strict=True)) / len(before) if before else None


def n_gram_entropy(words: Sequence[str]) -> float:
    """Fluency of one text: mean of 2/3·H₂ and 4/3·H₃, Hₙ the entropy in bits of its n-grams of words; at least 0.

    Higher is less repetitive; 0 for fewer than three words or one word repeated. `words`: EasyEdit splits with NLTK's
    `word_tokenize` and samples 100 tokens, so its own numbers differ from run to run. Source: Zhang et al. 2018
    (arXiv 1809.05972), ROME. Cannot tell language from random words, which score highest.
    """
    weighted = []
    for n, weight in N_GRAMS:
        counts = Counter(zip(*(words[start:] for start in range(n)), strict=False))
        total = counts.total()
        weighted.append(-weight * math.fsum(c / total * math.log2(c / total) for c in counts.values()))
    return max(0.0, math.fsum(weighted) / len(weighted))


def fluency(texts: Sequence[Sequence[str]]) -> float:
    """Mean `n_gram_entropy` of texts, each as its words. Raises `ValueError` for no text."""
    return item_mean("fluency", [n_gram_entropy(words) for words in texts])


def efficacy(new: Sequence[float], true: Sequence[float]) -> float:
    """ES or PS: share of prompts on which the new object is likelier than the true one, in [0, 1]; higher is better.

    `new`, `true`: mean log-probabilities, one a prompt (rewrite prompts give ES, paraphrases PS); equal ones are no
    success. Source: CounterFact (arXiv 2202.05262). Raises `ValueError` for no prompt or one that is not finite.
    """
    return _likelier("efficacy", new, true)


def specificity(new: Sequence[float], true: Sequence[float]) -> float:
    """NS: share of neighbourhood prompts on which the true object stays likelier than the new one, in [0, 1].

    Higher is better. Arguments, source and errors as of `efficacy`.
    """
    return _likelier("specificity", true, new)


def _likelier(name: str, one: Sequence[float], two: Sequence[float]) -> float:
    if len(one) != len(two) or not one:
        raise ValueError(f"{name}: {len(one)} and {len(two)} prompts; the same number, at least one, is right")
    if not all(math.isfinite(value) for value in (*one, *two)):
        raise ValueError(f"{name}: a log-probability is not finite; leave that prompt out")
    return sum(a > b for a, b in zip(one, two, strict=True)) / len(one)


def counterfact_score(es: float, ps: float, ns: float) -> float:
    """S: harmonic mean of ES, PS and NS, in [0, 1], higher is better; 0 where one of them is 0."""
    return harmonic_mean_of("counterfact_score", (es, ps, ns))


def instance_change(
    before: Sequence[bool | None],
    after: Sequence[bool | None],
    *,
    compat: Literal["ours", "easyedit"] = "ours",
) -> float | None:
    """(share of "yes" before - after) · 100, in [-100, 100]; higher is better: instances left the edited concept.

    `before`, `after`: whether each instance is said to belong to the concept; None for an answer that is neither yes
    nor no. Ours leaves such pairs out, None when none is left; EasyEdit counts them as yes. Source: ConceptEdit
    (arXiv 2403.06259). Raises `ValueError` for different lengths or no instance.
    """
    if len(before) != len(after) or not before:
        raise ValueError(f"instance_change: {len(before)} answers before, {len(after)} after; both need every instance")
    pairs = list(zip(before, after, strict=True))
    if compat == "easyedit":
        pairs = [(one is not False, two is not False) for one, two in pairs]
    told = [(one, two) for one, two in pairs if one is not None and two is not None]
    return 100 * sum(one - two for one, two in told) / len(told) if told else None
