"""Numbers in English words and dates in any order, brought to one form so that they can be compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

#: (year, month, day)
Date = tuple[int, int, int]

_UNITS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: number
    for number, word in zip(
        range(20, 100, 10), "twenty thirty forty fifty sixty seventy eighty ninety".split(), strict=True
    )
}
_SCALES = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan", "januar", "janvier", "enero", "janeiro", "gennaio", "januari"),
            ("february", "feb", "februar", "fevrier", "febrero", "fevereiro", "febbraio", "februari"),
            ("march", "mar", "marz", "mars", "marzo", "marco", "maart"),
            ("april", "apr", "avril", "abril", "aprile"),
            ("may", "mai", "mayo", "maio", "maggio", "mei"),
            ("june", "jun", "juni", "juin", "junio", "junho", "giugno"),
            ("july", "jul", "juli", "juillet", "julio", "julho", "luglio"),
            ("august", "aug", "aout", "agosto", "augustus"),
            ("september", "sep", "sept", "septembre", "septiembre", "setembro", "settembre"),
            ("october", "oct", "oktober", "octobre", "octubre", "outubro", "ottobre"),
            ("november", "nov", "novembre", "noviembre", "novembro"),
            ("december", "dec", "dezember", "decembre", "diciembre", "dezembro", "dicembre"),
        ),
        1,
    )
    for name in names
}
_ORDINALS = {
    word: number
    for number, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
        "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth".split(),
        1,
    )
} | {"thirtieth": 30}
_ISO = re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_DIGITS = re.compile(r"(?<!\d)(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})(?!\d)")
_WORDS = re.compile(r"[^\W_]+")


def _below_hundred(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """(value, words read) of a number under 100 that starts at `at`."""
    word = words[at].casefold() if at < len(words) else ""
    if word in _UNITS:
        return _UNITS[word], 1
    if word not in _TENS:
        return None
    after = words[at + 1].casefold() if at + 1 < len(words) else ""
    if 1 <= _UNITS.get(after, 0) <= 9:
        return _TENS[word] + _UNITS[after], 2
    return _TENS[word], 1


def _number(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """(value, words read) of the longest number in words that starts at `at`; a year may be read in pairs."""
    first = _below_hundred(words, at)
    if first is None:
        return None
    value, read = first
    pair = _below_hundred(words, at + read)
    if pair and 10 <= value <= 20 and pair[0] >= 10:
        return value * 100 + pair[0], read + pair[1]
    total, current, end = 0, value, at + read
    while end < len(words):
        word = words[end].casefold()
        if word == "hundred" and 0 < current < 100:
            current, end = current * 100, end + 1
        elif word in _SCALES and current:
            total, current, end = total + current * _SCALES[word], 0, end + 1
        else:
            # "two hundred (and) fifty", "seven thousand five hundred": more follows a round part only.
            skip = 1 if word == "and" else 0
            more = _below_hundred(words, end + skip) if current % 100 == 0 and (current or total) else None
            if more is None:
                break
            current, end = current + more[0], end + skip + more[1]
    return total + current, end - at


def join_numbers(words: Sequence[str]) -> list[str]:
    """The words with each number in words as digits; "nineteen sixty nine" becomes "1969". Keeps the other words."""
    found: list[str] = []
    at = 0
    while at < len(words):
        number = _number(words, at)
        if number is None:
            found.append(words[at])
            at += 1
        else:
            found.append(str(number[0]))
            at += number[1]
    return found


def _day(word: str) -> int | None:
    if word in _ORDINALS:
        return _ORDINALS[word]
    digits = re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)?", word)
    return int(digits.group(1)) if digits and 1 <= int(digits.group(1)) <= 31 else None


def _real(year: int, month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 31 and 1 <= year <= 9999


def dates(text: str) -> frozenset[Date]:
    """Every full date in a text, as (year, month, day); 03/04/2021 is read both ways, months in seven languages."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    found = {(int(y), int(m), int(d)) for y, m, d in _ISO.findall(plain)}
    for one, two, year in _DIGITS.findall(plain):
        found |= {(int(year), int(two), int(one)), (int(year), int(one), int(two))}
    words = join_numbers(_WORDS.findall(plain))
    for at, word in enumerate(words):
        if word not in _MONTHS:
            continue
        # "14 March 1961", "the 14th of March, 1961", "14 de marzo de 1961"; "March 14, 1961".
        before = [w for w in words[max(0, at - 4) : at] if w not in {"of", "de", "the", "di"}][-2:]
        after = [w for w in words[at + 1 : at + 5] if w not in {"of", "de", "the", "del", "do", "di"}][:2]
        year_after = next((int(w) for w in after if re.fullmatch(r"\d{4}", w)), None)
        if year_after is None:
            continue
        days = [_day(w) for w in before[-1:]] + [_day(w) for w in after[:1] if not re.fullmatch(r"\d{4}", w)]
        if len(before) == 2 and before[0] in {"20", "30"} and (_ORDINALS.get(before[1]) or 10) < 10:
            days.insert(0, int(before[0]) + _ORDINALS[before[1]])  # "twenty-second of August"
        day = next((d for d in days if d), None)
        if day:
            found.add((year_after, _MONTHS[word], day))
    return frozenset(date for date in found if _real(*date))
