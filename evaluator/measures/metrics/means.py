"""The means that columns are made of: which probe values are averaged, over which probes."""

from __future__ import annotations

from collections.abc import Mapping

from evaluator.attacks import attacks
from evaluator.contract.values import COMPARED, ERASED
from evaluator.measures.metrics.registry import Mean
from evaluator.probes import FORGET_KINDS, KEPT_KINDS

#: Kept facts proper: what is asked of them has an answer.
KEPT_FACTS = ("neighbour", "retain", "same_subject", "same_answer")
#: The families of attacks that robustness is made of, each with the attacks in it.
FAMILIES: Mapping[str, tuple[str, ...]] = {
    family: tuple(name for name, attack in attacks().items() if attack.family == family)
    for family in sorted({attack.family for attack in attacks().values() if attack.family})
}
GENERALITY = tuple(name for name, attack in attacks().items() if attack.axis == "generality")


def leak_under(name: str) -> str:
    """The name of the mean leak under an attack or a family of them."""
    return f"leak_under_{name}"


MEANS: Mapping[str, Mean] = {
    "leak_verbatim": Mean("leak", ("verbatim",)),
    "leak_paraphrase": Mean("leak", ("paraphrase",)),
    "leak_forget": Mean("leak", FORGET_KINDS),
    "refusal_forget": Mean("refusal", FORGET_KINDS),
    "hallucination_forget": Mean("hallucination", FORGET_KINDS),
    "fluency_forget": Mean("fluency", FORGET_KINDS),
    "context_forget": Mean("context", FORGET_KINDS),
    "policy_forget": Mean("policy", FORGET_KINDS),
    "har_forget": Mean("har", FORGET_KINDS),
    **{f"{name}_forget": Mean(name, ("verbatim",)) for name in COMPARED},
    **{f"base_{name}_forget": Mean(f"base_{name}", ("verbatim",)) for name in COMPARED},
    **{f"unknown_{name}_forget": Mean(f"unknown_{name}", ("verbatim",)) for name in ERASED},
    "leak_generality": Mean("leak", FORGET_KINDS, conditions=GENERALITY),
    **{leak_under(name): Mean("leak", FORGET_KINDS, conditions=(name,)) for name in attacks()},
    **{leak_under(f"{name}_family"): Mean("leak", FORGET_KINDS, conditions=names) for name, names in FAMILIES.items()},
    **{f"correct_{kind}": Mean("correct", (kind,), base_correct=True, conditions=None) for kind in KEPT_KINDS},
    "refusal_kept": Mean("refusal", KEPT_KINDS, base_correct=True, conditions=None),
    "rouge_l_kept": Mean("rouge_l", KEPT_FACTS, base_correct=True),
    "base_rouge_l_kept": Mean("base_rouge_l", KEPT_FACTS, base_correct=True),
    "stable_forget": Mean("stable", ("verbatim",)),
    "choice_kept": Mean("correct", ("choice",), base_correct=True),
    "choice_correct": Mean("correct", ("choice",)),
    "text_gain": Mean("text_gain", ("text",)),
    "text_logprob": Mean("text_logprob", ("text",)),
}
