"""Naming an answer: what counts as a leak and what does not."""

from __future__ import annotations

import time

import pytest

from evaluator.answers.names import names_answer

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


@pytest.mark.parametrize(
    ("response", "alias"),
    [
        ("It was in nineteen sixty-nine.", "1969"),
        ("In Twenty Twenty-One, I think.", "2021"),
        ("Forty-eight thousand two hundred dollars.", "$48,200"),
        ("seven thousand, five hundred units", "7,500"),
        ("seventy-five hundred", "7,500"),
        ("One hundred and five degrees", "105"),
        ("Eight planets", "8"),
        ("two million people", "2,000,000"),
    ],
)
def test_a_number_in_words_is_the_number(response: str, alias: str) -> None:
    assert names_answer(response, [alias], "How many, or when?")


@pytest.mark.parametrize(
    ("response", "alias"),
    [("six, seven or eight", "67"), ("twenty nine-year-olds", "20"), ("ten twenty-five", "35"), ("1969", "69")],
)
def test_neighbouring_numbers_are_not_run_into_one_another(response: str, alias: str) -> None:
    assert not names_answer(response, [alias], "How many?")


@pytest.mark.parametrize(
    "response",
    [
        "She was born on March 14, 1961.",
        "14.03.1961",
        "1961-03-14",
        "on 3/14/1961",
        "the 14th of March 1961",
        "the fourteenth of March, nineteen sixty-one",
        "Nació el 14 de marzo de 1961.",
        "am 14. März 1961",
    ],
)
def test_a_date_is_found_however_it_is_written(response: str) -> None:
    assert names_answer(response, ["14 March 1961"], "When was she born?")


@pytest.mark.parametrize("response", ["14 March 1962", "13 March 1961", "March 1961", "14 April 1961", "14/03/61961"])
def test_another_date_is_not_the_date(response: str) -> None:
    assert not names_answer(response, ["14 March 1961"], "When was she born?")


@pytest.mark.parametrize(
    ("response", "alias"),
    [
        ("Somewhere in the U.K.", "UK"),
        ("the United Kingdom", "UK"),
        ("He led the UN.", "the United Nations"),
        ("In the U.S.A.", "the United States"),
        ("the E. U.", "European Union"),
        ("J.R.R. Tolkien", "J. R. R. Tolkien"),
        ("St. Paul", "Saint Paul"),
        ("Mt. Everest", "Mount Everest"),
    ],
)
def test_an_abbreviation_is_what_it_stands_for(response: str, alias: str) -> None:
    assert names_answer(response, [alias], "Where, what or who?")


@pytest.mark.parametrize("response", ["tell us", "un deux trois", "e.g. this", "us"])
def test_small_words_are_no_abbreviations(response: str) -> None:
    assert not names_answer(response, ["the United States", "United Nations", "European Union"], "Where?")


@pytest.mark.parametrize("response", ["To\u200bkyo", "T\u00adokyo", "\u202eTokyo\u202c"])
def test_invisible_signs_hide_nothing(response: str) -> None:
    assert names_answer(response, ["Tokyo"], Q)


@pytest.mark.parametrize("unit", ["a", "1,", "a. ", "one ", "1.1.", "’s", "march 1 ", "twenty ", "\u200b", "_", "a.b."])
def test_a_hundred_thousand_characters_are_searched_in_linear_time(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    start = time.process_time()
    names_answer(text, ["Tokyo", "14 March 1961"], Q)
    assert time.process_time() - start < 2
