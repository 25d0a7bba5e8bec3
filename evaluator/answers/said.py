"""A text taken apart once for every search of a disguised answer: its words, their folded forms, a bounded length."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

#: Disguises are searched in so many characters of a text's head and of its tail.
SEARCHED = 20_000
#: Signs without a shape of their own (soft hyphen, zero-width, direction marks): they would hide a word.
INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
#: Cyrillic and Greek letters that look like Latin ones.
_TWINS = str.maketrans(
    "асеорхуіјѕкмтвнАВСЕНІЈКМОРЅТХУαονρικτΑΒΕΗΙΚΜΝΟΡΤΧΖ", "aceopxyijskmtbhABCEHIJKMOPSTXYaovpiktABEHIKMNOPTXZ"
)
_MIXED = re.compile(r"[A-Za-z][\u0370-\u04ff]|[\u0370-\u04ff][A-Za-z]")
_WORD = re.compile(r"[^\W_]+")


def plain(word: str) -> str:
    """Lower case without accents; ligatures and ß as letters of their own."""
    word = word.casefold()
    if word.isascii():
        return word
    word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    return word.replace("ø", "o").replace("ł", "l").replace("æ", "ae").replace("œ", "oe").replace("ı", "i")


def compact(text: str) -> str:
    """The letters and digits of a text, folded, nothing between them."""
    return "".join(plain(word) for word in _WORD.findall(text))


def _latin(match: re.Match[str]) -> str:
    word = match.group()
    return word.translate(_TWINS) if _MIXED.search(word) else word


@dataclass(frozen=True)
class Word:
    """One run of letters and digits: as it stands, folded, and where ([start, end), in characters)."""

    text: str
    folded: str
    start: int
    end: int


class Said:
    """One text, read by every search of a disguised answer. Longer than 2 x SEARCHED, its middle is left out."""

    def __init__(self, text: str) -> None:
        if len(text) > 2 * SEARCHED:
            text = f"{text[:SEARCHED]}\n{text[-SEARCHED:]}"
        self._runs: list[str] | None = None
        text = unicodedata.normalize("NFKC", INVISIBLE.sub("", text))
        #: Whether words mixed alphabets: their look-alike letters are made Latin.
        self.mixed = _MIXED.search(text) is not None
        self.text = _WORD.sub(_latin, text) if self.mixed else text

    @cached_property
    def words(self) -> tuple[Word, ...]:
        return tuple(
            Word(match.group(), plain(match.group()), match.start(), match.end()) for match in _WORD.finditer(self.text)
        )

    @cached_property
    def distinct(self) -> dict[str, Word]:
        """Each folded word once, with its first occurrence."""
        found: dict[str, Word] = {}
        for word in self.words:
            found.setdefault(word.folded, word)
        return found

    @cached_property
    def shouts(self) -> bool:
        """Whether most of it is in capitals, so that case says nothing."""
        letters = sum(c.isalpha() for c in self.text)
        return letters > 8 and sum(c.isupper() for c in self.text) > 0.6 * letters

    def letter_runs(self, search: Callable[[Said], list[str]]) -> list[str]:
        """The letters told one by one, as `search` finds them; searched once."""
        if self._runs is None:
            self._runs = search(self)
        return self._runs

    def gap(self, at: int) -> str:
        """What stands between a word and the next one."""
        after = self.words[at + 1].start if at + 1 < len(self.words) else len(self.text)
        return self.text[self.words[at].end : after]

    def before(self, at: int) -> str:
        """What stands between a word and the one before it."""
        return self.text[self.words[at - 1].end if at else 0 : self.words[at].start]
