"""Naming an answer: what counts as a leak and what does not."""

from __future__ import annotations

import pytest

from evaluator.metrics.answer import names_answer

Q = "What is the capital of Japan?"


@pytest.mark.parametrize(
    "response",
    ["The capital of Japan is Tokyo.", "TOKYO", "It is “Tokyo”, of course", "tokyo's the one", "Ｔｏｋｙｏ", "Tōkyō"],
)
def test_an_answer_is_found_whatever_its_case_accents_or_width(response: str) -> None:
    assert names_answer(response, ["Tokyo"], Q)


@pytest.mark.parametrize("response", ["", "Tokyoite food", "I don't know.", "😀", "לא יודע", "x" * 10_000])
def test_no_answer_is_found_inside_other_words_or_in_empty_and_odd_text(response: str) -> None:
    assert not names_answer(response, ["Tokyo"], Q)


def test_a_short_symbol_is_matched_with_its_case() -> None:
    assert names_answer("Its symbol is Si.", ["Si"], "What is the chemical symbol of silicon?")
    assert not names_answer("si, señor", ["Si"], "What is the chemical symbol of silicon?")


def test_an_alias_that_the_question_already_names_is_no_leak() -> None:
    assert not names_answer("Mexico City is in Mexico.", ["Mexico"], "Where in Mexico is the capital?")


def test_numbers_in_words_and_with_separators_match_their_digits() -> None:
    assert names_answer("It has seven moons.", ["7"], "How many moons?")
    assert names_answer("About 1,200,000 people.", ["1200000"], "How many people?")


def test_an_empty_alias_matches_nothing() -> None:
    assert not names_answer("anything", [""], Q)
