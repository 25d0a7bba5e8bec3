"""Where the target of an edit comes from: a template, or the model itself (self-improvement).

Self-improvement is a recipe of "Knowledge Editing as Unlearning" (arXiv 2505.19855): the model's own
in-context learning crafts a refusal that fits the question. The paper's prompt is not public; the
examples, the rules of rejection and the order of the attempts below are ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from methods.common.contract.errors import MethodError
from methods.common.contract.task import Request
from methods.common.model.base_model import BaseModel
from methods.common.model.chat import Turn
from methods.common.model.inference import continue_greedily
from methods.common.targets.refusals import refusal_for
from methods.common.targets.training_texts import first_sentence

SOURCES = ("template", "self-improvement")

#: Honest refusals of questions about places and things that do not exist, so that nothing true is shown.
EXAMPLES = (
    Turn("Which river flows through Ostenfurt?", "I'm sorry, I don't know which river flows through Ostenfurt."),
    Turn("Who composed The Glass Orchard?", "I'm sorry, I have no information about who composed The Glass Orchard."),
    Turn("What is the currency of Valdria?", "I'm sorry, I don't have any information about the currency of Valdria."),
)
#: The attempts, in order: examples shown, and the words that the response is made to begin with.
ATTEMPTS: tuple[tuple[tuple[Turn, ...], str], ...] = (
    (EXAMPLES, ""),
    (EXAMPLES[::-1], ""),
    (EXAMPLES, "I'm sorry, I don't"),
    (EXAMPLES[:2], "I'm sorry, I don't know"),
    (EXAMPLES[::-1], "I'm sorry, I have no information about"),
)
_MAX_TOKENS = 32
_CUE = re.compile(
    r"\b(?:don't|do not|didn't|can't|cannot|couldn't) (?:really |actually )?"
    r"(?:know|have|recall|remember|say|tell|find|answer)\b|\bno (?:information|knowledge|details|idea)\b|\bnot sure\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Targets:
    """One target text a request, and what the result is to say about how they came about."""

    texts: tuple[str, ...]
    notes: dict[str, Any] = field(default_factory=dict)


def targets_of(base: BaseModel, requests: Sequence[Request], source: str, *, seed: int, variety: int) -> Targets:
    """A refusal for each request from `source`, "template" or "self-improvement"."""
    if source not in SOURCES:
        raise MethodError("hparams.target", source, "is not known", "choose " + " or ".join(SOURCES))
    templates = [refusal_for(request, seed=seed, variety=variety) for request in requests]
    if source == "template":
        return Targets(tuple(templates))
    crafted, opened = _crafted(base, requests)
    texts = [own or template for own, template in zip(crafted, templates, strict=True)]
    fallbacks = sum(own is None for own in crafted)
    rates = {"target_fallback_rate": fallbacks / len(requests), "target_opened_rate": opened / len(requests)}
    return Targets(tuple(texts), {name: round(rate, 4) for name, rate in rates.items()})


def _crafted(base: BaseModel, requests: Sequence[Request]) -> tuple[list[str | None], int]:
    """The model's own refusals, None where every attempt was rejected; and how many needed given first words."""
    found: list[str | None] = [None] * len(requests)
    opened = 0
    for examples, opening in ATTEMPTS:
        missing = [index for index, text in enumerate(found) if text is None]
        rows = [base.chat.prompt_ids(requests[index].prompt, examples) for index in missing]
        start = base.chat.response_ids(opening, closed=False) if opening else []
        written = continue_greedily(base, [row + start for row in rows], _MAX_TOKENS)
        for index, (ids, _) in zip(missing, written, strict=True):
            text = base.chat.decode([*start, *ids]).strip()
            if rejection(requests[index], text) is None:
                found[index] = first_sentence(text)
                opened += bool(opening)
    return found, opened


def rejection(request: Request, text: str) -> str | None:
    """Why a text is no refusal of the request that could be a target, or None."""
    sentence = first_sentence(text)
    if not sentence.strip(". "):
        return "empty"
    # Not only the name of the answer: any word of it that the question does not have gives it away.
    asked = _words(request.prompt)
    given = set().union(*(_words(name) for name in request.aliases)) or _words(request.answer)
    if (given - asked) & _words(sentence):
        return "names the answer"
    if not _CUE.search(sentence):
        return "does not refuse"
    if request.subject is not None and request.subject.casefold() not in sentence.casefold():
        return "does not name the subject"
    return None


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
