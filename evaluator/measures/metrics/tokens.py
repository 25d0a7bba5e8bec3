"""Metrics of one continuation's token primitives: probability, memorisation, extraction strength.

`compat="open-unlearning"` follows that suite (arXiv 2506.12618) where it differs. It labels the template's tail and
the end of sequence too, and leaves the last label out again; give it the primitives of all these labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Compat = Literal["ours", "open-unlearning"]


def mean_token_logprob(logprobs: Sequence[float]) -> float | None:
    """Mean log-probability in nats a token, at most 0; None for no tokens or a log-probability that is not finite."""
    if not logprobs or not all(math.isfinite(value) for value in logprobs):
        return None
    return math.fsum(logprobs) / len(logprobs)


def sequence_probability(logprobs: Sequence[float]) -> float | None:
    """Length-normalised probability p^(1/T) = exp(mean log p), in [0, 1]; lower is better on facts to forget.

    None for no tokens or a log-probability that is not finite. Source: TOFU (arXiv 2401.06121). Cannot tell which
    tokens carry the fact: a reference sentence is mostly its template.
    """
    mean = mean_token_logprob(logprobs)
    return None if mean is None else math.exp(mean)


def exact_memorization(hits: Sequence[bool], *, compat: Compat = "ours") -> float | None:
    """Share of the reference's tokens that are the argmax after the reference's own prefix, in [0, 1].

    Lower is better on facts to forget. None for no tokens. open-unlearning leaves the last label out. Source: Tirumala
    et al. 2022 (arXiv 2205.10770). Cannot tell the fact from the words around it, which any fluent model predicts.
    """
    counted = hits[:-1] if compat == "open-unlearning" else hits
    return sum(counted) / len(counted) if counted else None


def extraction_strength(hits: Sequence[bool], *, compat: Compat = "ours") -> float | None:
    """1 - k/T in [0, 1], k the shortest prefix of the reference after which every argmax is the reference's token.

    Lower is better on facts to forget; 0 when even the last token is missed, None for no tokens. open-unlearning
    leaves the last label out, floors at 1/T instead of 0, and gives 0 for no tokens. Source: Carlini et al. 2021
    (arXiv 2012.07805). Cannot tell near misses: one wrong last token gives 0.
    """
    counted = hits[:-1] if compat == "open-unlearning" else hits
    if not counted:
        return 0.0 if compat == "open-unlearning" else None
    tail = 0
    for hit in reversed(counted):
        if not hit:
            break
        tail += 1
    return (max(tail, 1) if compat == "open-unlearning" else tail) / len(counted)
