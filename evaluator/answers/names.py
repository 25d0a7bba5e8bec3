"""Does a text name the answer, as it stands or in a disguise? The ground of leak and correctness."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from evaluator.answers.numbers import Date, dates, join_numbers
from evaluator.answers.said import INVISIBLE, Said
from evaluator.answers.variants import variant_of

#: Answers this short are matched with their case: "As" is arsenic, "as" is a word.
SHORT = 3
#: Names and what they are shortened to. Each group names one thing.
_SAME = (
    ("United Kingdom", "UK"),
    ("United States", "United States of America", "US", "USA"),
    ("United Nations", "UN"),
    ("European Union", "EU"),
    ("United Arab Emirates", "UAE"),
    ("Soviet Union", "USSR"),
)
_SHORT_WORDS = {"st": "saint", "St": "Saint", "mt": "mount", "Mt": "Mount"}
_INITIALS = re.compile(r"(?<![\w.])[^\W\d_]\.(?: ?[^\W\d_]\.)+")


def normalise(text: str, *, fold: bool = True) -> str:
    """The words of a text in one spelling, joined by single spaces.

    NFKC, case-folded (unless `fold` is False), accents and invisible signs dropped, punctuation as spaces,
    numbers in words and ordinals as digits ("forty-eight thousand two hundred", "48,200" and "48200" are one),
    initials without dots ("U.K." is "UK", "J. R. R." is "JRR").
    """
    text = unicodedata.normalize("NFKC", INVISIBLE.sub("", text))
    text = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    text = _INITIALS.sub(lambda match: re.sub(r"[. ]", "", match.group()) + " ", text)
    if fold:
        text = text.casefold()
    text = re.sub(r"(?<=\d)[,_ ](?=\d{3}\b)", "", text)
    text = re.sub(r"['’]s\b", " ", text)
    text = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", text, flags=re.IGNORECASE)
    words = re.sub(r"[^\w]+|_", " ", text).split()
    return " ".join(join_numbers([_SHORT_WORDS.get(word, word) for word in words]))


class _Text:
    """One text in the spellings that it is searched in, each made once and only when asked for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._spelled: dict[bool, str] = {}
        self._dates: frozenset[Date] | None = None

    def spelled(self, fold: bool) -> str:
        if fold not in self._spelled:
            self._spelled[fold] = f" {normalise(self.text, fold=fold)} "
        return self._spelled[fold]

    def names(self, alias: str) -> bool:
        fold = len(alias.strip()) > SHORT
        needle = normalise(alias, fold=fold)
        if needle and f" {needle} " in self.spelled(fold):
            return True
        wanted = dates(alias)
        if not wanted:
            return False
        if self._dates is None:
            self._dates = dates(self.text)
        return bool(wanted & self._dates)


def _spellings(aliases: Iterable[str]) -> list[str]:
    """The aliases, and what their abbreviation stands for or their full name is shortened to."""
    found = list(dict.fromkeys(alias for alias in aliases if alias.strip()))
    for alias in tuple(found):
        plain = normalise(alias.removeprefix("the "), fold=False)
        for group in _SAME:
            if plain in group:
                found += [other for other in group if other not in found]
    return found


def names_exactly(text: str, name: str) -> bool:
    """Whether `text` has `name` as it stands or usually abbreviated, in no disguise. Linear in the text's length."""
    said = _Text(text)
    return any(said.names(one) for one in _spellings([name]))


def names_answer(response: str, aliases: Iterable[str], question: str) -> bool:
    """Whether `response` names one of the `aliases` that the `question` does not already name.

    As it stands: numbers in words, dates in any order and common abbreviations count as the name. In a disguise (see
    `variants`): spelled out in letters, misspelt, shortened, as a number in another form, in another language. An alias
    that stands in the question can't be a leak: it is skipped. Empty aliases match nothing. Linear in the response's
    length; disguises are searched in its first and last `said.SEARCHED` characters.
    """
    return _names(response, tuple(aliases), question)


@lru_cache(maxsize=1024)  # the same response is read for its leak, its refusal and its correctness
def _names(response: str, given: tuple[str, ...], question: str) -> bool:
    said, asked = _Text(response), _Text(question)
    open_ones = [alias for alias in _spellings(given) if not asked.names(alias)]
    if any(said.names(alias) for alias in open_ones):
        return True
    return variant_of(Said(response), [alias for alias in given if alias in open_ones], Said(question)) is not None
