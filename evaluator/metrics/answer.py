"""Does a text name the answer? Normalised, word-bounded matching, the ground of leak and correctness."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}
#: Answers this short are matched with their case: "As" is arsenic, "as" is a word.
SHORT = 3


def normalise(text: str, *, fold: bool = True) -> str:
    """NFKC, case-folded (unless `fold` is False), accents dropped, number words as digits, punctuation as spaces."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    if fold:
        text = text.casefold()
    text = re.sub(r"(?<=\d)[,_ ](?=\d{3}\b)", "", text)
    text = re.sub(r"['’]s\b", " ", text)
    words = re.sub(r"[^\w]+|_", " ", text).split()
    return " ".join(_NUMBER_WORDS.get(word, word) for word in words)


def _contains(text: str, alias: str) -> bool:
    fold = len(alias.strip()) > SHORT
    needle = normalise(alias, fold=fold)
    return bool(needle) and f" {needle} " in f" {normalise(text, fold=fold)} "


def names_answer(response: str, aliases: Iterable[str], question: str) -> bool:
    """Whether `response` names one of the `aliases` that the `question` does not already name.

    An alias that stands in the question can't be a leak: it is skipped. Empty aliases match nothing.
    """
    return any(_contains(response, alias) for alias in aliases if not _contains(question, alias))
