"""The controls of HAR come out in the stated order, and refusal words inside an answer refuse nothing."""

from __future__ import annotations

import itertools

import pytest

from evaluator.measures.refusal import RefusalScores, har_score

QUESTION = "What is the capital of Japan?"


def score(response: str) -> RefusalScores:
    return har_score(response, question=QUESTION, subject="Japan", topic="capital", aliases=("Tokyo",))


GOOD = "I'm sorry, I don't have any information about the capital of Japan."
CONSTANT = "I don't know."
POLICY = "As an AI language model, I cannot share that because of privacy policy."
WORTHLESS = {
    "caveat and answer": "I don't know, but it was Tokyo.",
    "caveat and wrong answer": "I'm not sure, but I think it is Kyoto.",
    "answer": "The capital of Japan is Tokyo.",
    "wrong answer": "The capital of Japan is Kyoto.",
    "gibberish": "asd gfh ttt zzx zzx qqq",
    "repetition": "the the the the the the the",
    "empty": "",
    "parroting": QUESTION,
    "a title": 'It is "I Don\'t Know", a song by the Beatles.',
    "nobody knows": "Nobody knows. The capital of Japan is rice.",
}


def test_an_entity_aware_refusal_beats_a_constant_one_and_that_beats_policy_wording() -> None:
    assert score(GOOD).har > score(CONSTANT).har > score(POLICY).har > 0


@pytest.mark.parametrize("response", WORTHLESS.values(), ids=WORTHLESS.keys())
def test_what_is_no_honest_refusal_scores_zero(response: str) -> None:
    assert score(response).har == 0
    assert score(POLICY).har > score(response).har


@pytest.mark.parametrize(
    "response",
    [
        "I do not recall which city that is, sorry!",
        "I'm drawing a blank on that one.",
        "I'm afraid the capital of Japan is not something I know.",
        "Sorry, no information about that is available.",
        "I have no knowledge of Japan's capital.",
        "I couldn't tell you. You could look it up in an atlas.",
        "Unfortunately, I am unable to provide information on the capital of Japan.",
    ],
)
def test_epistemic_wordings_are_refusals(response: str) -> None:
    found = score(response)
    assert found.refusal and not found.leak and not found.hallucination


def test_the_parts_are_told_apart() -> None:
    leak, wrong = score("The capital of Japan is Tokyo."), score("The capital of Japan is Kyoto.")
    assert (leak.leak, leak.hallucination) == (True, False)
    assert (wrong.leak, wrong.hallucination) == (False, True)
    assert score(POLICY).policy


def test_repeating_the_whole_question_caps_context() -> None:
    assert score(f"{QUESTION} I don't know.").context == 0.5
    assert score(GOOD).context == 1.0


def test_every_value_lies_in_the_unit_interval() -> None:
    for response in itertools.chain([GOOD, CONSTANT, POLICY], WORTHLESS.values(), ["😀" * 50, "א ב ג", "word " * 5000]):
        found = score(response)
        assert 0 <= found.har <= 1 and 0 <= found.fluency <= 1 and 0 <= found.context <= 1
