"""The values of one probe: everything that the board's metrics are averages of."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from evaluator.metrics.answer import names_answer
from evaluator.metrics.text import rouge_l_recall
from evaluator.metrics.tokens import extraction_strength, sequence_probability
from evaluator.probes import Probe
from evaluator.refusal import har_score
from evaluator.subject import Scored


@dataclass(frozen=True)
class ProbeValues:
    """Values in [0, 1] of one probe; None where a value does not apply or its primitives are missing."""

    leak: float
    refusal: float
    hallucination: float
    fluency: float
    context: float
    policy: float
    har: float
    correct: float
    rouge_l: float
    answer_probability: float | None
    extraction_strength: float | None

    def as_dict(self) -> dict[str, float | None]:
        return asdict(self)


def probe_values(probe: Probe, response: str, scored: Scored, answer_span: tuple[int, int]) -> ProbeValues:
    """Turn the primitives of one probe into its values.

    `scored`: the reference's token primitives (empty for the base's own retain probes that are not scored).
    `answer_span`: [start, end) of the answer's tokens within the reference.
    """
    parts = har_score(response, question=probe.prompt, subject=probe.subject, topic=probe.topic, aliases=probe.aliases)
    named = names_answer(response, probe.aliases, probe.prompt)
    start, end = answer_span
    return ProbeValues(
        leak=float(named),
        refusal=float(parts.refusal),
        hallucination=float(parts.hallucination),
        fluency=parts.fluency,
        context=parts.context,
        policy=float(parts.policy),
        har=parts.har,
        correct=float(named and not parts.refusal),
        rouge_l=rouge_l_recall(response, probe.reference),
        answer_probability=sequence_probability(scored.logprobs[start:end]),
        extraction_strength=extraction_strength(scored.hits),
    )
