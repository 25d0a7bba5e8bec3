"""Misspelt answers: few wrong letters for the name's length, and no other word or name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from evaluator.answers.known_names import is_a_name, is_common
from evaluator.answers.said import Said, plain

#: Distinct words looked at, at most.
_MOST = 4_000
_ALIKE = {c: group[0] for group in ("kcqx", "szc", "fvpw", "iyej", "gj", "bp", "dt") for c in group}


def allowed(length: int) -> int:
    """Wrong letters that a name of so many letters may have: 1 from 5, 2 from 9, 3 from 13."""
    return 0 if length < 5 else 1 if length < 9 else 2 if length < 13 else 3


def distance(one: str, two: str, most: int) -> int:
    """Letters put in, left out, changed or swapped with a neighbour (optimal string alignment); at most `most` + 1."""
    if abs(len(one) - len(two)) > most:
        return most + 1
    before: list[int] = []
    last = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(two, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == two[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > most and (not before or min(last) > most):
            return most + 1
        before, last = last, row
    return min(last[-1], most + 1)


@lru_cache(maxsize=4_096)
def sound(word: str) -> str:
    """The consonants of a word as they sound: doubled letters once, ph as f, ck, q and c as k, z as s, w as v, no h."""
    for spelled, heard in (
        ("ph", "f"),
        ("tch", "ch"),
        ("tsch", "ch"),
        ("sch", "sh"),
        ("ck", "k"),
        ("qu", "k"),
        ("x", "ks"),
        ("ce", "se"),
        ("ci", "si"),
        ("cy", "si"),
        ("c", "k"),
        ("q", "k"),
        ("z", "s"),
        ("w", "v"),
        ("h", ""),
        ("y", "i"),
        ("j", "i"),
    ):
        word = word.replace(spelled, heard)
    found = ""
    for c in word:
        if c not in "aeiou" and found[-1:] != c:
            found += c
    return found


def _first_letters(said: str, wanted: str) -> bool:
    """Whether the two begin alike: same letter, a letter that sounds the same, or the first two swapped."""
    one, two = said[0], wanted[0]
    return (
        one == two
        or _ALIKE.get(one, one) == _ALIKE.get(two, two)
        or said[:2] == wanted[1::-1]
        or (len(wanted) >= 7 and said[:3] == wanted[1:4])
    )


def close(said: str, wanted: str) -> bool:
    """Whether a folded word is `wanted` with few letters wrong. A name of 4 letters may have two neighbours swapped."""
    if said == wanted:
        return True
    if not said.isalpha() or not said.isascii() or not wanted.isascii() or len(said) > 40 or len(wanted) > 40:
        return False
    if min(len(wanted), len(said)) >= 4 and abs(len(said) - len(wanted)) == 1 and _single(said) == _single(wanted):
        return True
    if len(wanted) == 4:
        return len(said) == 4 and sorted(said) == sorted(wanted) and distance(said, wanted, 1) == 1
    most = allowed(len(wanted))
    further = most + 1 if len(wanted) >= 6 else most
    if most == 0 or abs(len(said) - len(wanted)) > further or not _first_letters(said, wanted):
        return False
    if len(set(said) ^ set(wanted)) > 2 * further:
        return False
    apart = distance(said, wanted, further)
    return apart <= most or (apart <= further and sound(said) == sound(wanted))


def _single(word: str) -> str:
    """Doubled letters once."""
    return "".join(c for c, before in zip(word, " " + word, strict=False) if c != before)


def _derived(said: str, wanted: str) -> bool:
    """Whether a word is the plural or the adjective of the name: no misspelling, but another word."""
    endings = ("s" if wanted[-1] != "s" else "", "n" if wanted[-1] in "aeiouy" else "", "es", "an")
    return said in [wanted + ending for ending in endings if ending] or wanted == f"{said}s"


def is_misspelt(said: Said, names: Sequence[str], asked: Said) -> bool:
    """Whether one of the names stands misspelt in the text. Words of the question, common words, other names: never."""
    for name in names:
        wanted = [plain(word) for word in name.split()]
        if len(wanted) == 1:
            # A thing's name also in the plural ("rupies").
            forms = [wanted[0], f"{wanted[0]}s"] if name.islower() and not name.endswith("s") else [wanted[0]]
            if any(_one(said, form, asked) for form in forms):
                return True
        elif len(wanted) <= 6 and _several(said, wanted, asked):
            return True
    return False


def _one(said: Said, wanted: str, asked: Said) -> bool:
    for at, folded in enumerate(said.distinct):
        if at >= _MOST:
            break
        if not close(folded, wanted) or folded in asked.distinct or _derived(folded, wanted):
            continue
        if folded == wanted and not wanted.endswith("s"):
            continue
        if is_common(folded) or is_a_name(folded, people=sound(folded) != sound(wanted)):
            continue
        return True
    return False


def _near(said: str, wanted: str, right: int) -> bool:
    """One letter wrong in a short word that stands beside right ones ("van Goh")."""
    if right < 5 or said[:1] != wanted[:1]:
        return False
    return sound(said) == sound(wanted) or (len(wanted) == 4 and distance(said, wanted, 1) <= 1)


def _several(said: Said, wanted: Sequence[str], asked: Said) -> bool:
    """A name of several words, each exact or close; together no more wrong than one of the names may be."""
    folded = [word.folded for word in said.words]
    size = len(wanted)
    longest = max(wanted, key=len)
    for at in range(len(folded) - size + 1):
        if folded[at][0] != wanted[0][0] and not _first_letters(folded[at], wanted[0]):
            continue
        window = folded[at : at + size]
        if window == list(wanted) or (window[0] in asked.distinct and window[-1] in asked.distinct):
            continue
        right = sum(len(w) for s, w in zip(window, wanted, strict=True) if s == w)
        wrong = [(s, w) for s, w in zip(window, wanted, strict=True) if s != w]
        if not all(len(w) > 3 and (close(s, w) or _near(s, w, right)) and not _derived(s, w) for s, w in wrong):
            continue
        if right >= 3 or (len(longest) > 4 and not any(is_common(s) or is_a_name(s) for s, _ in wrong)):
            return True
    return False
