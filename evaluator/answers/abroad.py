"""An answer named in another language: by a table, or for cities by the alternate names of GeoNames (CC BY 4.0)."""

from __future__ import annotations

import re
from functools import lru_cache

from evaluator.answers.known_names import cities, entities, geonames, is_common, names_abroad
from evaluator.answers.said import Said, plain

#: Three letters that name a city abroad and are no English word; matched as written.
_SHORT = {"rome": ("Rom", "Rzym", "Рим", "罗马")}
_ENGLISH_TOO = frozenset("roma lima pari bari lodi nova alba".split())
#: Scripts that part no words by blanks.
_UNPARTED = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_INFLECTED = re.compile("[\u0370-\u03ff\u0400-\u04ff\u0590-\u06ff\u0900-\u0dff]")


@lru_cache(maxsize=1)
def _peoples() -> frozenset[str]:
    """Countries and continents: a small town of the same name lends them no names."""
    countries = {plain(country["name"]) for country in geonames().get_countries().values()}
    return frozenset(countries | set("africa asia europe oceania america".split()))


@lru_cache(maxsize=2_048)
def other_names(name: str) -> tuple[str, ...]:
    """What `name` is called in other languages, as written there; no common English word, no other place."""
    key = plain(name).removeprefix("the ")
    found = list(names_abroad().get(key, ())) + list(_SHORT.get(key, ()))
    city = cities().get(key.removesuffix(" city")) or cities().get(key)
    for other in () if city is None or key in _peoples() else city["alternatenames"]:
        folded = plain(other)
        if folded.isascii() and folded.replace(" ", "").replace("-", "").isalpha():
            if len(folded) < 4 or folded in entities() or is_common(folded) or folded in _ENGLISH_TOO:
                continue
            # GeoNames also lists transliterations ("pali", "ba li") in lower case: no language writes a city so.
            if other[0].islower() or other.isupper() or other[-1] == "'":
                continue
        elif len(other) < 2:
            continue
        found.append(other)
    return tuple(dict.fromkeys(one for one in found if plain(one) != key))


@lru_cache(maxsize=2_048)
def _needles(name: str) -> tuple[frozenset[str], tuple[tuple[str, ...], ...], tuple[str, ...], tuple[str, ...]]:
    """(single folded words, several folded words, exact spellings, pieces of unparted scripts)."""
    single, several, exact, unparted = set(), [], [], []
    for other in other_names(name):
        words = tuple(plain(word) for word in re.findall(r"[^\W_]+", other))
        if _UNPARTED.search(other):
            unparted.append(other)
        elif len(words) > 1:
            several.append(words)
        elif words and (len(words[0]) < 4 or words[0] in ("inde", "chili", "pools")):
            exact.append(other)
        elif words:
            single.add(words[0])
    return frozenset(single), tuple(several), tuple(exact), tuple(unparted)


def _same(said: str, wanted: str) -> bool:
    """Equal, or inflected at the end ("Vereinigten", "Vereinigtes")."""
    stem = max(5, len(wanted) - 2)
    return said == wanted or (len(wanted) >= 6 and said[:stem] == wanted[:stem] and abs(len(said) - len(wanted)) <= 2)


def is_named_abroad(said: Said, name: str, asked: Said) -> bool:
    """Whether the text has `name` in another language, in words that the question does not have."""
    single, several, exact, unparted = _needles(name)
    for folded, word in said.distinct.items():
        if folded in asked.distinct:
            continue
        if folded in single or word.text in exact:
            return True
        if _INFLECTED.match(folded) and len(folded) >= 4:
            for wanted in single:
                if len(wanted) >= 4 and folded.startswith(wanted[:-1]) and len(folded) <= len(wanted) + 3:
                    return True
            # Arabic and Hebrew put "in", "and" and the article before the word.
            if any(
                len(w) >= 4 and folded.endswith(w) and len(folded) <= len(w) + 3
                for w in single
                if "\u0590" <= w[0] <= "\u06ff"
            ):
                return True
    if any(piece in said.text and piece not in asked.text for piece in unparted):
        return True
    folded_words = [word.folded for word in said.words]
    asked_words = " ".join(word.folded for word in asked.words)
    for words in several:
        if " ".join(words) in asked_words:
            continue
        size = len(words)
        for at in range(len(folded_words) - size + 1):
            if all(_same(s, w) for s, w in zip(folded_words[at : at + size], words, strict=True)):
                return True
    return False
