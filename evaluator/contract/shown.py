"""How finely the numbers of a hidden run are shown: what a submission could carry out is counted from this."""

from __future__ import annotations

import math

#: Decimals of a score and of a probe's value on a hidden split. A score above 1 has two significant digits.
HIDDEN_DECIMALS = 3
#: So many different numbers a score, an end of its interval or a probe's value can be: 0.000, 0.001, … 1.000.
SHOWN_NUMBERS = 10**HIDDEN_DECIMALS + 1

#: What the redacted trace says of a question: marks of yes or no, and values in [0, 1].
PROBE_MARKS = ("leak", "refusal", "hallucination", "policy", "correct")
PROBE_VALUES = (
    "fluency",
    "context",
    "har",
    "rouge_l",
    "answer_probability",
    "extraction_strength",
    "exact_memorization",
    "truth_ratio",
    "mrr",
    "min_k",
)
#: What it says of a text instead: nats a token, between `TEXT_FLOOR_NATS` and its negative.
TEXT_VALUES = ("text_logprob", "text_gain")
TEXT_FLOOR_NATS = -math.log(1e6)


def score_bits() -> float:
    """A score with both ends of its interval."""
    return 3 * math.log2(SHOWN_NUMBERS)


def probe_bits() -> float:
    """All that is shown of one probe, whichever kind it has."""
    question = len(PROBE_MARKS) + len(PROBE_VALUES) * math.log2(SHOWN_NUMBERS)
    text = len(TEXT_VALUES) * math.log2(2 * -TEXT_FLOOR_NATS * 10**HIDDEN_DECIMALS + 1)
    return max(question, text)
