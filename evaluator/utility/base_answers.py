"""What the base itself answers to utility probes, so that a run can say what was kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evaluator.measures.metrics.utility import best_choice, mean_logprob
from evaluator.probes import UTILITY_KINDS, Probe

if TYPE_CHECKING:
    from evaluator.model.engine.lm import EvaluatorLM


def base_utility(lm: EvaluatorLM, probes: Sequence[Probe]) -> list[Probe]:
    """The utility probes with the base's answers in them; they are asked as lm-eval asks them in a run.

    A `choice` gets `base_response` (the choice that wins) and `base_correct`, a `text` gets `base_logprob`. Raises
    `ValueError` for a probe of another kind.
    """
    from lm_eval.api.instance import Instance  # noqa: PLC0415 - loads torch

    def asked(probe: Probe) -> list[tuple[str, str]]:
        context = lm.apply_chat_template([{"role": "user", "content": probe.prompt}])
        return [(context, choice) for choice in (probe.reference, *probe.alternatives)]

    if others := [probe.kind for probe in probes if probe.kind not in UTILITY_KINDS]:
        raise ValueError(f"kind: {others[0]!r} is no utility probe; those are {', '.join(UTILITY_KINDS)}")
    pairs = {probe.item_id: asked(probe) for probe in probes if probe.kind == "choice"}
    texts = [probe.reference for probe in probes if probe.kind == "text"]
    lm.loglikelihood([Instance("loglikelihood", {}, pair, 0) for each in pairs.values() for pair in each], True)
    lm.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts], True)
    found = []
    for probe in probes:
        if probe.kind == "text":
            update: dict[str, object] = {"base_logprob": mean_logprob(lm.rolled[probe.reference].logprobs)}
        else:
            choices = [choice for _, choice in pairs[probe.item_id]]
            place = best_choice(choices, [sum(lm.answered(*pair).logprobs) for pair in pairs[probe.item_id]])
            update = {"base_response": choices[place], "base_correct": place == 0}
        found.append(probe.model_copy(update=update))
    return found
