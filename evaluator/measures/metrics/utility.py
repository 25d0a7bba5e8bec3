"""The values of utility probes: which choice wins, and what a neutral text has lost against the base."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evaluator.contract.disclosure import TEXT_FLOOR_NATS

#: Below this many nats a token two mean log-probabilities are the same: threads and kernels differ by 1e-6.
SAME_NATS = 1e-4
#: No text counts as less likely than this, nats a token (perplexity 10⁶); one that is not finite counts as this.
FLOOR_NATS = TEXT_FLOOR_NATS


def best_choice(choices: Sequence[str], logprobs: Sequence[float]) -> int:
    """The place of the choice with the highest log-probability per UTF-8 byte.

    Bytes, not tokens: the same for every tokenizer, and lm-eval's `acc_norm` for plain English. `logprobs`: sums in
    nats; one that is not finite never wins. The last of equals wins, so that a model that cannot tell the choices
    apart is never right (the reference comes first). Raises `ValueError` for an empty choice.
    """
    if not choices or not all(choices):
        raise ValueError("choices: there is none, or one is empty")
    score = [
        logprob / len(choice.encode()) if math.isfinite(logprob) else -math.inf
        for choice, logprob in zip(choices, logprobs, strict=True)
    ]
    return max(reversed(range(len(score))), key=lambda place: score[place])


def choice_values(choices: Sequence[str], logprobs: Sequence[float]) -> dict[str, float | None]:
    """`correct`: 1 when the reference, the first of the choices, wins. In {0, 1}, higher is better."""
    return {"correct": float(best_choice(choices, logprobs) == 0)}


def mean_logprob(logprobs: Sequence[float]) -> float | None:
    """Nats a token, between `FLOOR_NATS` and 0; None for no tokens."""
    if not logprobs:
        return None
    mean = math.fsum(logprobs) / len(logprobs) if all(math.isfinite(value) for value in logprobs) else FLOOR_NATS
    return max(mean, FLOOR_NATS)


def text_values(logprobs: Sequence[float], base_logprob: float | None) -> dict[str, float | None]:
    """`text_logprob`: mean nats a token. `text_gain`: that minus the base's; below 0 the text has become less likely.

    A difference under `SAME_NATS` is 0. None where a primitive is missing.
    """
    mean = mean_logprob(logprobs)
    gain = None if mean is None or base_logprob is None else mean - base_logprob
    return {
        "text_logprob": mean,
        "text_gain": 0.0 if gain is not None and abs(gain) < SAME_NATS else gain,
    }
