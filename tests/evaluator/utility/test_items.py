"""The shipped utility set: enough of it, no bias of length, nothing of the benchmark's facts, chosen by the secret."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from evaluator.benchmark.facts import world_facts
from evaluator.probes import Probe
from evaluator.utility import items_load, utility_probes


def share_right(pick: Callable[[Iterable[int]], int]) -> float:
    """How often the answer has the picked length; choices of the same length share the chance."""
    total = 0.0
    for item in items_load().choices:
        lengths = [len(text) for text in (item.answer, *item.wrong)]
        best = pick(lengths)
        total += (lengths[0] == best) / lengths.count(best)
    return total / len(items_load().choices)


def test_hundreds_of_different_questions_over_many_abilities() -> None:
    choices = items_load().choices
    abilities = Counter(item.ability for item in choices)
    assert len(choices) >= 240 and len(abilities) >= 10 and min(abilities.values()) >= 20
    assert len({item.id for item in choices}) == len({item.question for item in choices}) == len(choices)
    assert all(len({item.answer, *item.wrong}) == 4 for item in choices)


def test_the_length_of_a_choice_does_not_give_the_answer_away() -> None:
    assert share_right(max) <= 0.35 and share_right(min) <= 0.35


def test_texts_are_different_paragraphs_of_like_length() -> None:
    texts = [item.text for item in items_load().texts]
    assert len(set(texts)) == len(texts) >= 40
    assert all(60 <= len(text.split()) <= 120 for text in texts)


def test_no_item_tells_a_fact_that_may_have_to_be_forgotten() -> None:
    items = items_load()
    held = [f"{item.question} {item.answer}" for item in items.choices] + [item.text for item in items.texts]
    words = [f" {' '.join(re.findall(r'[a-z0-9]+', text.casefold()))} " for text in held]
    for fact in world_facts():
        for text in words:
            assert not (f" {fact.subject.casefold()} " in text and f" {fact.answer.casefold()} " in text), (fact, text)


def test_the_secret_of_a_split_chooses_its_items() -> None:
    def ids(secret: bytes) -> list[str]:
        return [probe.item_id for probe in utility_probes(items_load(), secret=secret, n_choices=30, n_texts=5)]

    assert ids(b"one") == ids(b"one") != ids(b"two")
    assert len(ids(b"one")) == 35


def test_every_item_is_a_cluster_of_its_own_and_comes_back_from_its_line() -> None:
    probes = utility_probes(items_load(), secret=b"")
    assert len({probe.subject_key for probe in probes}) == len({probe.item_id for probe in probes}) == len(probes)
    assert {probe.kind for probe in probes} == {"choice", "text"}
    assert all(Probe.model_validate_json(probe.model_dump_json()) == probe for probe in probes)
