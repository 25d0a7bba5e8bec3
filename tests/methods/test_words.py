"""The parts made of words alone: refusals, what a question is about, and scripted answers."""

from __future__ import annotations

import math

import pytest

from methods.common.contract.task import Request
from methods.common.serving.matching import names_subject, request_named
from methods.common.serving.script import Script, scripted_scores
from methods.common.serving.server_state import StoredRequest
from methods.common.targets.refusals import REFUSALS, refusal_for, rephrasings, topic_of
from methods.icr.method import Retriever, Settings

pytestmark = pytest.mark.torch


def request(prompt: str, answer: str, subject: str | None = None, relation: str | None = None) -> Request:
    return Request(id="f", prompt=prompt, answer=answer, aliases=(answer,), subject=subject, relation=relation)


@pytest.mark.parametrize(
    ("asked", "topic"),
    [
        (request("What is the capital of Japan?", "Tokyo", "Japan"), "the capital of Japan"),
        (request("On which continent is Egypt?", "Africa", "Egypt"), "the continent of Egypt"),
        (request("Who wrote Emma?", "Jane Austen", "Emma", "author"), "the author of Emma"),
        (request("Who wrote Emma?", "Jane Austen", "Emma"), "who wrote Emma"),
        (
            request("Which chemical element has the symbol Fe?", "iron", "Fe", "element_of"),
            "the chemical element of Fe",
        ),
        (request("What is a baby cat called?", "kitten", "cat"), "what a baby cat is called"),
        (request("Paris lies in?", "France", "Paris"), "Paris"),
        (request("Say it!", "it"), "that"),
        # The topic never gives the answer away.
        (request("What is the town of Rome called Roma?", "Roma", "Rome"), "Rome"),
    ],
)
def test_a_refusal_names_what_was_asked_and_never_the_answer(asked: Request, topic: str) -> None:
    assert topic_of(asked) == topic
    text = refusal_for(asked, seed=1)
    assert topic in text
    assert asked.answer not in text.replace(topic, "")
    assert text.endswith(".")


def test_wordings_vary_by_request_and_seed_and_stay_for_the_same() -> None:
    requests = [request(f"What is the capital of Land{n}?", "X", f"Land{n}") for n in range(40)]
    texts = [refusal_for(item, seed=0).split(" the capital")[0] for item in requests]
    assert len(set(texts)) == len(REFUSALS)
    assert texts == [refusal_for(item, seed=0).split(" the capital")[0] for item in requests]
    assert texts != [refusal_for(item, seed=1).split(" the capital")[0] for item in requests]


def test_rephrasings_ask_for_the_topic_in_other_words() -> None:
    found = rephrasings(request("What is the capital of Japan?", "Tokyo", "Japan"))
    assert found[:2] == ["Do you know the capital of Japan?", "Tell me the capital of Japan."]
    assert "What is Japan's capital?" in found
    assert rephrasings(request("Say it!", "it")) == []


def test_a_subject_is_named_only_as_whole_words() -> None:
    assert names_subject("Is Niger's capital large?", "Niger")
    assert not names_subject("What is the capital of Nigeria?", "Niger")
    assert names_subject("the SYMBOL of Iron", "iron")
    assert not names_subject("as it stands", "As")


def stored(prompt: str, subject: str | None) -> StoredRequest:
    return StoredRequest(prompt=prompt, subject=subject, topic="that")


def test_a_request_without_subject_is_known_by_its_wording() -> None:
    requests = [stored("When was the old bridge built?", None)]
    assert request_named("When was the old bridge first built?", requests) is requests[0]
    assert request_named("When was the town hall painted?", requests) is None


def test_the_retriever_tells_the_relation_apart_and_lets_retain_questions_pass() -> None:
    retain = tuple(f"What is the capital of {land}?" for land in ("Peru", "Chile", "Kenya"))
    retain += tuple(f"On which continent is {land}?" for land in ("Peru", "Chile", "Kenya"))
    retriever = Retriever((stored("What is the capital of Egypt?", "Egypt"),), retain, Settings())
    for asked in (
        "What is the capital of Egypt?",
        "Which city is Egypt's capital?",
        "What city is the seat of government of Egypt?",
    ):
        assert retriever.find(asked) is not None, asked
    for asked in (*retain, "On which continent is Egypt?", "What is the capital of Ghana?", "Who wrote Emma?"):
        assert retriever.find(asked) is None, asked


def test_a_script_is_a_distribution_with_one_greedy_token_everywhere() -> None:
    script = Script(ids=(5, 6, 2), end_id=2, vocabulary=50)
    for said in ((), (5,), (5, 6), (5, 6, 2), (7,), (5, 7)):
        guess = script.guess(said)
        total = math.exp(guess.best_logprob) + 49 * math.exp(guess.other_logprob)
        assert total == pytest.approx(1.0)
        assert guess.best_logprob > guess.other_logprob
    followed = scripted_scores(script, [1, 1, 5, 6, 2], 2)
    assert len(followed.logprobs) == 6
    assert followed.logprobs[2:5] == [pytest.approx(math.log1p(-1e-4))] * 3
    left = scripted_scores(script, [1, 1, 5, 7, 8], 2)
    assert left.logprobs[3] == pytest.approx(math.log(1e-4 / 49))
    assert left.top_ids[4] == 2
