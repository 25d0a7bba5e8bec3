"""Answers shortened: initials, codes of places and currencies, surnames alone, words cut by a full stop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from evaluator.answers.known_names import geonames, is_a_name, is_common
from evaluator.answers.said import Said, plain

_WORDS = re.compile(r"[^\W_]+")
_SMALL = frozenset("of the and de la le el da di du der den des van von y e et for in".split())
#: Codes that are English or foreign words, titles or units in capitals as well: these need a sign that a code is meant.
_AMBIGUOUS = frozenset(
    """
    IN OR ME OK HI OH IT IS NO SO TO DO BE BY AM AT US MY PM AI ID TV AS MO MS MA PA LA AL DE CO GA IE EG ES ET SI SE
    UM ER EM PS AD BC CD DC DJ DR MR MC MD GB GM HR PC PR ST VC VA TH TL HE HIS AND THE ARE CAN PER NOR BEN COM DOM
    """.split()
)
_CODE_MEANT = re.compile(
    r"(?i)(?:,|\(|\bcode(?: is)?:?|\babbreviat\w{0,4}(?: as| to| is)?:?|\bletters:?|\bpostal(?: code)?:?|"
    r"^)\s*[\"'“(\[]*$"
)
_STATES = {
    "alabama": "Ala",
    "arizona": "Ariz",
    "arkansas": "Ark",
    "california": "Calif Cal",
    "colorado": "Colo",
    "connecticut": "Conn",
    "delaware": "Del",
    "florida": "Fla",
    "georgia": "Ga",
    "illinois": "Ill",
    "indiana": "Ind",
    "kansas": "Kan Kans",
    "kentucky": "Ky",
    "louisiana": "La",
    "maryland": "Md",
    "massachusetts": "Mass",
    "michigan": "Mich",
    "minnesota": "Minn",
    "mississippi": "Miss",
    "missouri": "Mo",
    "montana": "Mont",
    "nebraska": "Neb Nebr",
    "nevada": "Nev",
    "oklahoma": "Okla",
    "oregon": "Ore Oreg",
    "pennsylvania": "Penn Penna Pa",
    "tennessee": "Tenn",
    "texas": "Tex",
    "vermont": "Vt",
    "virginia": "Va",
    "washington": "Wash",
    "wisconsin": "Wis Wisc",
    "wyoming": "Wyo",
    "north carolina": "NC",
    "south carolina": "SC",
    "north dakota": "ND NDak",
    "south dakota": "SD SDak",
    "new york": "NY",
    "new jersey": "NJ",
    "new mexico": "NM NMex",
    "new hampshire": "NH",
    "rhode island": "RI",
    "west virginia": "WVa WV",
}
#: What a few places and people are called for short.
_NICKNAMES = {
    "new york city": ("Big Apple", "N Y City", "NY City", "NYC", "NY"),
    "new york": ("Big Apple", "NYC", "NY"),
    "los angeles": ("City of Angels",),
    "paris": ("City of Light", "City of Lights", "Ville Lumière"),
    "rome": ("Eternal City",),
    "chicago": ("Windy City",),
    "philadelphia": ("Philly", "Phila"),
    "las vegas": ("Vegas",),
    "san francisco": ("Frisco",),
    "washington d c": ("DC", "Washington"),
    "germany": ("FRG", "BRD"),
    "russia": ("USSR",),
    "united kingdom": ("GB", "UK", "Great Britain", "Britain"),
    "united states": ("USA", "US", "America"),
    "democratic republic of the congo": ("DRC",),
    "china": ("PRC",),
    "south africa": ("RSA",),
    "copenhagen": ("CPH",),
    "united arab emirates": ("UAE",),
    "australia": ("Oz",),
    "portuguese": ("PT-BR",),
    "south korea": ("ROK",),
    "rio de janeiro": ("Rio",),
    "buenos aires": ("BsAs", "Bs As"),
    "kuala lumpur": ("KL",),
    "mexico city": ("CDMX",),
    "amsterdam": ("A'dam",),
    "leonardo da vinci": ("Leonardo",),
    "william shakespeare": ("Bard of Avon", "the Bard"),
    "saint petersburg": ("St Pete",),
    "new zealand": ("NZ",),
    "czech republic": ("Czechia",),
    "berlin": ("Bln",),
}
_SYMBOLS = {
    "euro": "€",
    "yen": "¥",
    "yuan": "¥",
    "renminbi": "¥",
    "pound": "£",
    "rupee": "₹",
    "won": "₩",
    "ruble": "₽",
    "lira": "₺",
    "hryvnia": "₴",
    "naira": "₦",
    "shekel": "₪",
    "dong": "₫",
}
_PERSON = re.compile(
    r"(?i)\b(?:who|whom|whose|author|writer|painter|artist|composer|musician|inventor|discoverer|scientist|"
    r"founder|person|"
    r"by whom|president|director|singer|poet|leader)\b"
)
_TITLES = frozenset(
    "mr mrs ms dr sir lord lady prof professor saint st herr frau monsieur madame senor signor count baron king "
    "queen von van "
    "de da di del der".split()
)


@lru_cache(maxsize=2_048)
def codes(name: str, question: str) -> tuple[str, ...]:
    """The codes in capitals of a place (state, ISO 3166) or of a currency (ISO 4217, of the country in question)."""
    key = plain(name).removeprefix("the ")
    found = [code for code, state in geonames().get_us_states().items() if plain(state["name"]) == key]
    asked = f" {' '.join(_WORDS.findall(plain(question)))} "
    for country in geonames().get_countries().values():
        country_name = plain(country["name"])
        if country_name == key or (key == "czech republic" and country["iso"] == "CZ"):
            found += [country["iso"], country["iso3"]]
        currency = plain(country["currencyname"] or "")
        if currency and key.split()[-1:] == currency.split()[-1:] and f" {country_name} " in asked:
            found.append(country["currencycode"])
    return tuple(dict.fromkeys(found))


def _initials(name: str) -> set[str]:
    """ "NYC", "CIO", "BA": the first letters of a name of several words, with and without its small words."""
    words = _WORDS.findall(name.removeprefix("the ").removeprefix("The "))
    telling = [word for word in words if word.casefold() not in _SMALL]
    if len(telling) < 2 or not all(word[0].isupper() or word.casefold() in _SMALL for word in words):
        return set()
    return {"".join(w[0].upper() for w in telling), "".join(w[0].upper() for w in words)}


def is_coded(said: Said, name: str, asked: Said) -> bool:
    """Initials or a code in capitals, with or without full stops ("N.Y.C.", "TX", "DE", "MXN"); a currency's sign."""
    initials, known = _initials(name), set(codes(name, asked.text))
    known |= {one for one in _NICKNAMES.get(plain(name).removeprefix("the "), ()) if one.isupper()}
    person = _PERSON.search(asked.text) is not None
    if person:
        initials = {one for one in initials if len(one) > 2}  # two letters are a hint, no name
    wanted = initials | known
    if plain(name).split()[-1:] and (sign := _SYMBOLS.get(plain(name).split()[-1])) and sign in said.text:
        return True
    if not wanted or (said.shouts and len(said.words) > 3):
        return False
    longest = max(map(len, wanted))
    asked_words = {word.text for word in asked.words}
    for at, word in enumerate(said.words):
        text, end = word.text, at
        if len(text) == 1 and text.isupper():
            # "N.Y.C.", "L. A."
            while end + 1 < len(said.words) and len(text) < longest and re.fullmatch(r"\. ?", said.gap(end)):
                if len(said.words[end + 1].text) > 1 or not said.words[end + 1].text.isupper():
                    break
                end += 1
                text += said.words[end].text
            dotted = len(text) > 1
            if person and dotted and end + 1 < len(said.words) and said.words[end + 1].text[0].isupper():
                continue  # "J. K. Rowling" is not "J. K."
        else:
            dotted = False
        if text not in wanted or text in asked_words or "_" in (said.gap(at) + said.before(at)):
            continue
        if dotted or text not in _AMBIGUOUS or _meant(said, at, text):
            return True
    return False


def _meant(said: Said, at: int, text: str) -> bool:
    """Whether an ambiguous code stands where a code does: behind a comma, a bracket or "code", or alone."""
    if len(said.words) == 1:
        return text not in ("OK", "NO", "SO", "HI", "OH", "US", "AI")
    before = said.text[max(0, said.words[at].start - 40) : said.words[at].start]
    after = said.gap(at)
    follows = _CODE_MEANT.search(before) is not None and at > 0
    whole = text in ("LA", "DC", "GB", "CD", "PS", "MC") and not after.startswith(" ")
    return (follows and after[:1] in (")", ".", "", "?", "!", "]", '"', "”", ",")) or whole


def is_cut(said: Said, name: str, asked: Said) -> bool:
    """A name in capitals cut by a full stop or by the end ("Shakesp.", "Tex.", "Calder Inst. of Optics")."""
    key = plain(name).removeprefix("the ")
    short = set(_STATES.get(key, "").split())
    for at, word in enumerate(said.words):
        gap = said.gap(at)
        if (word.text == "Miss" and not said.before(at).startswith(" ") and at == 0) or (
            word.text == "Miss" and "," in said.before(at)
        ):
            continue
        if word.text in short and (
            gap[:1] == "." or (len(word.text) > 3 and word.text not in ("Miss", "Mass", "Wash", "Mich", "Conn", "Penn"))
        ):
            return True
    words = [plain(word) for word in _WORDS.findall(name.removeprefix("the "))]
    if len(words) == 1 or _PERSON.search(asked.text):
        return _prefix(said, words[-1], asked)
    size = len(words)
    for at in range(len(said.words) - size + 1):
        window = said.words[at : at + size]
        full = sum(len(w) for s, w in zip(window, words, strict=True) if s.folded == w and w not in _SMALL)
        if full < 4:
            continue
        if all(
            s.folded == w
            or (
                len(s.folded) < len(w)
                and w.startswith(s.folded)
                and s.text[0].isupper()
                and said.gap(at + i)[:1] in (".", "'", "’")
            )
            or (len(s.folded) == 1 and w[0] == s.folded and s.text.isupper())
            for i, (s, w) in enumerate(zip(window, words, strict=True))
        ) and any(s.folded != w for s, w in zip(window, words, strict=True)):
            return True
    return False


def _prefix(said: Said, wanted: str, asked: Said) -> bool:
    """A word's beginning (4 letters or more, and half of it) before a full stop or at the very end of the text."""
    for at, word in enumerate(said.words):
        short = word.folded
        if not (4 <= len(short) < len(wanted) and 5 * len(short) >= 2 * len(wanted) and wanted.startswith(short)):
            continue
        stopped = said.gap(at)[:1] == "."
        ends = at == len(said.words) - 1 and not said.gap(at).strip() and 2 * len(short) >= len(wanted)
        if not (stopped or ends) or not word.text[0].isupper() or is_common(short) or is_a_name(short):
            continue
        if short not in asked.distinct and wanted not in (f"{short}s", f"{short}n", f"{short}an", f"{short}ian"):
            return True
    return False


def is_nicknamed(said: Said, name: str, asked: Said) -> bool:
    """A usual short name of several letters ("Philly", "the Big Apple")."""
    text = f" {' '.join(word.text for word in said.words)} "
    question = f" {' '.join(word.text for word in asked.words)} "
    return any(
        f" {one} " in text and f" {one} " not in question
        for one in _NICKNAMES.get(plain(name).removeprefix("the "), ())
        if not one.isupper()
    )


def surname(name: str, question: str) -> str | None:
    """The last word of a person's name of several words, when the question asks for a person; else None."""
    words = name.split()
    if len(words) < 2 or not _PERSON.search(question) or not words[-1][:1].isupper():
        return None
    last = words[-1]
    return last if len(last) >= 4 and not is_common(plain(last)) else None


def is_surname_alone(said: Said, name: str, asked: Said) -> bool:
    """A person's surname without another person's first name before it."""
    last = surname(name, asked.text)
    if last is None or plain(last) in asked.distinct:
        return False
    first = [plain(word) for word in name.split()[:-1]]
    for at, word in enumerate(said.words):
        if word.folded != plain(last) or (word.text.islower() and not said.text.islower()):
            continue
        if at == 0 or not re.fullmatch(r"[ .]{1,2}", said.before(at)):
            return True
        ahead = said.words[at - 1]
        opens = at == 1 or not re.fullmatch(r"[ ,]{1,2}", said.before(at - 1))
        if not _other_first_name(ahead.text, ahead.folded, first, opens=opens):
            return True
    return False


def _other_first_name(text: str, folded: str, first: Sequence[str], *, opens: bool) -> bool:
    if not text[0].isupper() or folded in first or folded in _TITLES:
        return False
    if len(text) <= 2:
        return not any(name.startswith(folded[0]) for name in first)
    if any(name.startswith(folded) for name in first):
        return False
    # A capital within a sentence makes a name; one that opens it need not.
    return not opens or is_a_name(folded) or (not is_common(folded) and len(folded) > 3)
