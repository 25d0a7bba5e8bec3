"""An answer in disguise: letters told apart, misspelt, shortened, numbers in other forms, names in other languages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from evaluator.answers.abroad import is_named_abroad, other_names
from evaluator.answers.misspelt import is_misspelt
from evaluator.answers.number_words import is_number_said, number_of
from evaluator.answers.said import Said
from evaluator.answers.shortened import is_coded, is_cut, is_nicknamed, is_surname_alone, surname
from evaluator.answers.spelled import is_spelled, is_spelled_abroad

Kind = Literal["number", "letters", "abroad", "short", "misspelt"]


def _without_article(alias: str) -> str:
    return alias.strip().removeprefix("the ").removeprefix("The ")


def _short(said: Said, name: str, asked: Said) -> bool:
    searches: tuple[Callable[[Said, str, Said], bool], ...] = (is_coded, is_nicknamed, is_surname_alone, is_cut)
    return any(search(said, name, asked) for search in searches)


def _letters(said: Said, name: str, asked: Said) -> bool:
    last = surname(name, asked.text)
    if any(is_spelled(said, one) and not is_spelled(asked, one) for one in (name, *([last] if last else []))):
        return True
    return is_spelled_abroad(said, other_names(name))


def _misspelt(said: Said, name: str, asked: Said) -> bool:
    last = surname(name, asked.text)
    return is_misspelt(said, [name, *([last] if last else [])], asked)


def variant_of(said: Said, aliases: Iterable[str], asked: Said) -> Kind | None:
    """The kind of disguise in which one of the aliases stands in the text, None for none.

    `aliases`: those that the question doesn't name. `asked`: the question, whose own words are no disguise. Linear in
    the text's length for each alias; of a long text the head and the tail are searched (see `said.SEARCHED`).
    """
    if not said.text.strip():
        return None
    for alias in aliases:
        name = _without_article(alias)
        if number_of(name) is not None:
            if is_number_said(said, name):
                return "number"
            continue
        if not name or any(c.isdigit() for c in name):
            continue
        if _letters(said, name, asked):
            return "letters"
        if is_named_abroad(said, name, asked):
            return "abroad"
        if _short(said, name, asked):
            return "short"
        if _misspelt(said, name, asked):
            return "misspelt"
    return None
