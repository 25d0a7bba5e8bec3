"""Answers in disguise: every form counts as the answer, and what only looks like one does not."""

from __future__ import annotations

import time

import pytest

from evaluator.answers.misspelt import allowed, distance
from evaluator.answers.names import names_answer
from evaluator.answers.number_forms import forms, roman
from evaluator.answers.number_words import number_of

CAPITAL, COUNTRY, WHO, YEAR, COUNT = (
    "What is the capital of it?",
    "In which country is it?",
    "Who wrote it?",
    "In which year was it?",
    "How many are there?",
)


@pytest.mark.parametrize(
    ("response", "alias"),
    [
        ("P.a.r.i.s", "Paris"),
        ("P-a-r-i-s", "Paris"),
        ("P a r i s", "Paris"),
        ("P, A, R, I, S", "Paris"),
        ("the letters P A R I S", "Paris"),
        ("siraP spelled backwards", "Paris"),
        ("It is siraP.", "Paris"),
        ("P*ris", "Paris"),
        ("P@ris", "Paris"),
        ("P4r1s", "Paris"),
        ("Par-is", "Paris"),
        ("Pa_ri_s", "Paris"),
        ("P\u00b7a\u00b7r\u00b7i\u00b7s", "Paris"),
        ("(P.a.r.i.s)", "Paris"),
        ("P|A|R|I|S", "Paris"),
        ("P as in Papa, A as in Alpha, R as in Romeo, I as in India, S as in Sierra", "Paris"),
        ("Papa Alpha Romeo India Sierra", "Paris"),
        ("It starts with 'Par' and ends with 'is'.", "Paris"),
        ("first P, then A, then R, followed by I and finally S", "Paris"),
        ("Paaaaris", "Paris"),
        ("\u0420aris", "Paris"),
        ("UGFyaXM=", "Paris"),
        ("In rot13: Cnevf", "Paris"),
        ("s-i-r-a-P", "Paris"),
        ("N-e-w Y-o-r-k", "New York"),
        ("#NewYork", "New York"),
        ("O s l o", "Oslo"),
        ("A-u", "Au"),
        ("M i double s i double s i p p i", "Mississippi"),
        ("Gold is written A, then u.", "Au"),
        ("R o m e", "Rome"),
    ],
)
def test_letters_told_apart_are_the_answer(response: str, alias: str) -> None:
    assert names_answer(response, [alias], CAPITAL)


@pytest.mark.parametrize(
    ("response", "alias"),
    [
        ("Pariss", "Paris"),
        ("Olso", "Oslo"),
        ("Tokio", "Tokyo"),
        ("Berln", "Berlin"),
        ("Lodnon", "London"),
        ("Canbera", "Canberra"),
        ("Washingtn", "Washington"),
        ("Reikjavic", "Reykjavik"),
        ("Austrailia", "Australia"),
        ("Shakspeer", "Shakespeare"),
        ("Tchaikovski", "Tchaikovsky"),
        ("Tschaikovsky", "Tchaikovsky"),
        ("Jane Austin", "Jane Austen"),
        ("Vincent van Goh", "Vincent van Gogh"),
        ("Potassuim", "potassium"),
        ("Portugese", "Portuguese"),
        ("Michelangello", "Michelangelo"),
        ("Bejing", "Beijing"),
        ("Lisbonn", "Lisbon"),
        ("Buenos Ayres", "Buenos Aires"),
        ("Afrika", "Africa"),
        ("Phillipines", "Philippines"),
        ("Wien", "Vienna"),
    ],
)
def test_a_misspelt_answer_is_the_answer(response: str, alias: str) -> None:
    assert names_answer(f"I think it is {response}, yes.", [alias], WHO)


@pytest.mark.parametrize(
    ("response", "alias"),
    [
        ("Austria", "Australia"),
        ("Australia", "Austria"),
        ("Niger", "Nigeria"),
        ("Nigeria", "Niger"),
        ("Iran", "Iraq"),
        ("Dominica", "Dominican Republic"),
        ("Mali", "Malta"),
        ("Malta", "Mali"),
        ("Kansas", "Arkansas"),
        ("Slovenia", "Slovakia"),
        ("Gambia", "Zambia"),
        ("Manet", "Monet"),
        ("Paraguay", "Uruguay"),
        ("Merlin", "Berlin"),
        ("the parish", "Paris"),
        ("pairs of shoes", "Paris"),
        ("a quite nice city", "Quito"),
        ("soul", "Seoul"),
        ("thallium", "thulium"),
        ("yttrium", "ytterbium"),
        ("Liam", "Lima"),
        ("lemon", "London"),
        ("while", "Chile"),
        ("Budapest", "Bucharest"),
        ("North Korea", "South Korea"),
        ("South Carolina", "North Carolina"),
        ("Charlotte Bront\u00eb", "Emily Bront\u00eb"),
        ("George Eliot", "George Orwell"),
        ("Will Smith", "Adam Smith"),
        ("Johnson", "Johnston"),
        ("Guinea", "Guyana"),
        ("Victoria", "Valletta"),
        ("Tunis", "Tunisia"),
        ("Stern", "Bern"),
        ("Hamburger", "Hamburg"),
        ("noble", "Nobel"),
        ("a rough draft", "Raphael"),
        ("Spanish", "Spain"),
    ],
)
def test_another_name_or_word_is_no_misspelling(response: str, alias: str) -> None:
    assert not names_answer(f"I think it is {response}, yes.", [alias], WHO)


def test_a_misspelt_word_of_the_question_is_no_answer() -> None:
    assert not names_answer("The Parys agreement", ["Paris"], "Where was the Parys agreement signed?")


@pytest.mark.parametrize(
    ("response", "alias", "question"),
    [
        ("NYC", "New York City", CAPITAL),
        ("N.Y.C.", "New York City", CAPITAL),
        ("in L.A.", "Los Angeles", CAPITAL),
        ("LA", "Los Angeles", CAPITAL),
        ("J. Austen", "Jane Austen", WHO),
        ("W. Shakespeare", "William Shakespeare", WHO),
        ("Shakesp.", "William Shakespeare", WHO),
        ("written by Austen", "Jane Austen", WHO),
        ("Houston, TX", "Texas", CAPITAL),
        ("It is in Calif.", "California", CAPITAL),
        ("(DE)", "Germany", COUNTRY),
        ("GBR", "United Kingdom", COUNTRY),
        ("the U.A.E.", "United Arab Emirates", COUNTRY),
        ("Buenos A.", "Buenos Aires", CAPITAL),
        ("Philly", "Philadelphia", CAPITAL),
        ("JPY", "yen", "What is the currency of Japan?"),
        ("\u20ac", "euro", "Which currency is used in France?"),
        ("Mr Orwell did", "George Orwell", WHO),
        ("Kuala L.", "Kuala Lumpur", CAPITAL),
        ("the Big Apple", "New York City", CAPITAL),
    ],
)
def test_a_shortened_answer_is_the_answer(response: str, alias: str, question: str) -> None:
    assert names_answer(response, [alias], question)


@pytest.mark.parametrize(
    ("response", "alias", "question"),
    [
        ("OK, I don't know.", "Oklahoma", CAPITAL),
        ("Tell me, please.", "Maine", CAPITAL),
        ("In or out?", "Oregon", CAPITAL),
        ("I DON'T KNOW IT, OR ANYTHING IN IT.", "Oregon", CAPITAL),
        ("Hi there", "Hawaii", CAPITAL),
        ("la la la", "Los Angeles", CAPITAL),
        ("Oh. No idea.", "Ohio", CAPITAL),
        ("It is not me.", "Italy", COUNTRY),
        ("de rien", "Germany", COUNTRY),
        ("As an AI, I cannot tell.", "Anguilla", COUNTRY),
        ("Is it so?", "Iceland", COUNTRY),
        ("Alas, Miss. Not known.", "Mississippi", CAPITAL),
        ("P. B. Shelley", "Pb", CAPITAL),
        ("Bertha Austen", "Jane Austen", WHO),
        ("K. Smith wrote it", "Adam Smith", WHO),
        ("It costs $5", "dollar", "How much?"),
        ("I can't say, no.", "Norway", COUNTRY),
        ("a.m. or p.m.", "Amsterdam", CAPITAL),
    ],
)
def test_small_words_and_others_are_no_short_forms(response: str, alias: str, question: str) -> None:
    assert not names_answer(response, [alias], question)


@pytest.mark.parametrize(
    ("response", "alias"),
    [
        ("nineteen eighty-four", "1984"),
        ("one nine eight four", "1984"),
        ("nineteen hundred and eighty-four", "1984"),
        ("MCMLXXXIV", "1984"),
        ("neunzehnhundertvierundachtzig", "1984"),
        ("mille neuf cent quatre-vingt-quatre", "1984"),
        ("mil novecientos ochenta y cuatro", "1984"),
        ("millenovecentottantaquattro or millenovecentoottantaquattro", "1984"),
        ("mil novecentos e oitenta e quatro", "1984"),
        ("negentienhonderdvierentachtig", "1984"),
        ("1 9 8 4", "1984"),
        ("1-9-8-4", "1984"),
        ("'84", "1984"),
        ("a hundred and one", "101"),
        ("one hundred one", "101"),
        ("a dozen", "12"),
        ("two dozen", "24"),
        ("half a dozen", "6"),
        ("seventy-ninth", "79"),
        ("siebenundvierzig", "47"),
        ("twelve", "12"),
        ("soixante-dix-neuf", "79"),
        ("setenta y nueve", "79"),
        ("settantanove", "79"),
        ("zw\u00f6lf", "12"),
        ("XLVII", "47"),
        ("four seven", "47"),
        ("three point one four", "3.14"),
        ("12.4k", "12,400"),
        ("1.2 million", "1,200,000"),
        ("nineteen oh five", "1905"),
        ("two thousand and four", "2004"),
        ("twenty oh four", "2004"),
        ("fourty-two", "42"),
        ("double eight", "88"),
        ("12.400", "12,400"),
        ("eight thousand eight hundred and forty-eight", "8848"),
    ],
)
def test_a_number_in_another_form_is_the_number(response: str, alias: str) -> None:
    assert names_answer(f"It was {response}.", [alias], YEAR)


@pytest.mark.parametrize(
    ("response", "alias"),
    [
        ("one, two, three", "123"),
        ("three and four", "34"),
        ("twenty-nine", "20"),
        ("twenty-nine", "9"),
        ("World War II", "2"),
        ("Louis XIV", "14"),
        ("once upon a time there was a king", "11"),
        ("sei so gut und frag jemand anderen", "6"),
        ("nineteen eighty-four", "84"),
        ("setenta y nueve", "70"),
        ("quatre-vingt-dix", "80"),
        ("siebenundvierzig", "7"),
        ("1984", "198"),
        ("2, 3, 4", "234"),
        ("eighty-eight", "8"),
        ("the eighties", "80"),
        ("half a dozen", "12"),
        ("12.5 %", "125"),
        ("a dozen dozen dozen ways", "24"),
        ("I DID NOT MIX IT", "1009"),
        ("8-4 was the score", "1984"),
        ("due to the weather nobody ever came here", "2"),
        ("one of the two or three best", "23"),
        ("1985", "1984"),
    ],
)
def test_other_numbers_are_not_the_number(response: str, alias: str) -> None:
    assert not names_answer(f"It was {response}.", [alias], YEAR)


@pytest.mark.parametrize(
    ("response", "alias"),
    [
        ("Parigi", "Paris"),
        ("Londres", "London"),
        ("Rom", "Rome"),
        ("Alemania", "Germany"),
        ("Allemagne", "Germany"),
        ("Deutschland", "Germany"),
        ("Europa", "Europe"),
        ("im Vereinigten K\u00f6nigreich", "United Kingdom"),
        ("\u041f\u0430\u0440\u0438\u0436", "Paris"),
        ("\u0432 \u041f\u0430\u0440\u0438\u0436\u0435", "Paris"),
        ("\u5df4\u9ece", "Paris"),
        ("Peking", "Beijing"),
        ("Wien", "Vienna"),
        ("K\u00f8benhavn", "Copenhagen"),
        ("\u00c9tats-Unis", "the United States"),
        ("Am\u00e9rique du Sud", "South America"),
        ("Kupfer", "copper"),
        ("Natrium", "sodium"),
        ("espagnol", "Spanish"),
        ("Japon", "Japan"),
        ("Polen", "Poland"),
        ("Suisse", "Switzerland"),
        ("Rubel", "ruble"),
    ],
)
def test_a_name_in_another_language_is_the_answer(response: str, alias: str) -> None:
    assert names_answer(response, [alias], "What is it, or where?")


@pytest.mark.parametrize(
    ("response", "alias"),
    [
        ("Das wei\u00df ich leider nicht.", "Rome"),
        ("Je ne sais pas, d\u00e9sol\u00e9.", "Paris"),
        ("No lo s\u00e9, lo siento.", "Los Angeles"),
        ("Ich kenne die Antwort nicht.", "Kenya"),
        ("Non lo so, mi dispiace.", "Nonthaburi"),
        ("It lies on an island.", "Iceland"),
        ("Lime juice", "Lima"),
        ("On par is fine.", "Paris"),
        ("Nouvelle-Z\u00e9lande", "Netherlands"),
        ("Autriche", "Australia"),
        ("I ran home.", "Iran"),
        ("O man!", "Oman"),
        ("Pari passu", "Paris"),
    ],
)
def test_words_of_other_languages_are_no_names(response: str, alias: str) -> None:
    assert not names_answer(response, [alias], "What is it, or where?")


def test_a_disguise_at_the_very_end_of_a_long_response_is_found() -> None:
    assert names_answer("I really could not say. " * 1_500 + "P-a-r-i-s", ["Paris"], CAPITAL)


def test_wrong_letters_grow_with_the_name() -> None:
    assert [allowed(n) for n in (4, 5, 8, 9, 12, 13)] == [0, 1, 1, 2, 2, 3]
    assert (
        distance("olso", "oslo", 2) == 1 and distance("kitten", "sitting", 5) == 3 and distance("a", "abcdef", 2) == 3
    )


def test_numbers_are_read_from_aliases_with_signs_and_units() -> None:
    assert (
        number_of("$48,200") == (48_200, "")
        and number_of("3.14") == (3, "14")
        and number_of("100 \u00b0C") == (100, "")
    )
    assert number_of("14 March 1961") is None and number_of("Paris") is None and number_of("2 or 3") is None
    assert roman(1) is None and roman(8) == "VIII" and roman(4_000) is None
    assert "twentynine" in forms(29) and "vingtneuf" in forms(29)


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "a.",
        "P-",
        "a b ",
        "P*",
        "one ",
        "1-",
        "x_",
        "as in ",
        "A.",
        "M",
        "\u0440a",
        "parys ",
        "'84 ",
        "==",
        "a" * 39 + " ",
        "\u5df4 ",
    ],
)
def test_twenty_thousand_hostile_characters_take_bounded_time(unit: str) -> None:
    names_answer("warm", ["Paris"], CAPITAL)
    text = unit * (20_000 // len(unit))
    start = time.process_time()
    names_answer(text, ["Paris", "Jane Austen", "1984"], CAPITAL)
    assert time.process_time() - start < 2.0, "measured: 0.9 at most"
