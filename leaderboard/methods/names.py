"""Names of methods: which characters one may hold, and what two names have in common that look alike."""

from __future__ import annotations

import re
import unicodedata

from django.utils.text import slugify

#: ASCII signs of which one is read for the other.
_ALIKE = str.maketrans({"0": "o", "1": "l", "|": "l", "!": "l", "i": "l", "5": "s", "8": "b"})
#: Pairs of letters that are read as one.
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))


def name_problem(name: str) -> str:
    """Why a method can't have this name; empty when it can. Letters of the Latin script, ASCII digits and signs."""
    for character in name:
        if character.isascii():
            if not character.isprintable():
                return "holds a control character"
        elif not (unicodedata.category(character)[0] == "L" and unicodedata.name(character, "").startswith("LATIN ")):
            named = unicodedata.name(character, "no character")
            return f"holds {character!a} ({named}), which is no letter of the Latin script"
    if not any(character.isalnum() for character in name):
        return "holds neither a letter nor a digit"
    return ""


def slug_make(name: str) -> str:
    """The slug of a name: `AlphaEdit+` is `alphaedit-plus`, `Łøß` is `loss`. Empty when there is no ASCII letter."""
    return slugify(name.replace("+", " plus ").casefold().translate(_STROKES))[:80].strip("-")


def same_name(one: str, other: str) -> bool:
    """Whether two names differ by case, spaces, hyphens and underscores at most."""
    return _spaced(one) == _spaced(other)


def _spaced(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", name).casefold()).strip()


def skeleton(name: str) -> str:
    """What names that look alike have in common: no accents, case or signs, and one form for each look."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    letters = re.sub(r"[^a-z0-9|!]", "", plain.translate(_STROKES)).translate(_ALIKE)
    for pair, one in _PAIRS:
        letters = letters.replace(pair, one)
    return letters


#: Letters that decompose into nothing, and the ASCII letters that they look like.
_STROKES = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "ƒ": "f", "æ": "ae", "œ": "oe", "ɡ": "g", "ɑ": "a"}
)
