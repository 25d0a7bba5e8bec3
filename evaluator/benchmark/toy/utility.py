"""Utility in the toy world: choices and texts about lands that a release has not used. The toy model knows no other."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.benchmark.toy.world import RELATIONS, toy_facts
from evaluator.probes import Fact
from evaluator.utility import ChoiceItem, TextItem, UtilitySet


def _choice(fact: Fact) -> ChoiceItem:
    relation = RELATIONS[fact.relation]
    same = [other.answer for other in toy_facts() if other.relation == fact.relation]
    place = same.index(fact.answer)
    one, two, three = (same[(place + step) % len(same)] for step in (1, 2, 3))
    return ChoiceItem(
        id=f"choice-{fact.subject.lower()}",
        ability=fact.relation,
        question=relation.question.format(s=fact.subject),
        answer=relation.statement.format(s=fact.subject, a=fact.answer),
        wrong=(
            relation.statement.format(s=fact.subject, a=one),
            relation.statement.format(s=fact.subject, a=two),
            relation.statement.format(s=fact.subject, a=three),
        ),
    )


def _text(fact: Fact) -> TextItem:
    relation = RELATIONS[fact.relation]
    question = relation.public[0].format(s=fact.subject)
    return TextItem(
        id=f"text-{fact.subject.lower()}",
        topic=fact.relation,
        # A dialogue as in training: the toy model has seen no text outside of one.
        text=f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        f"{relation.statement.format(s=fact.subject, a=fact.answer)}<|im_end|>",
    )


def toy_utility(spare: Sequence[Fact]) -> UtilitySet:
    """Two of three spare facts become choices, the third a text."""
    return UtilitySet(
        choices=tuple(_choice(fact) for number, fact in enumerate(spare) if number % 3 < 2),
        texts=tuple(_text(fact) for number, fact in enumerate(spare) if number % 3 == 2),
    )
