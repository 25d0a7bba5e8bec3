"""One number in every usual form: words of seven languages, digit by digit, ordinals, dozens, Roman numerals."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

_EN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_EN_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
#: English words of small numbers and of tens.
SMALL = frozenset([*_EN, *_EN_TENS])
_DE = (
    "null eins zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn "
    "siebzehn achtzehn neunzehn"
).split()
_DE_TENS = "- - zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig".split()
_NL = (
    "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien "
    "achttien negentien"
).split()
_NL_TENS = "- - twintig dertig veertig vijftig zestig zeventig tachtig negentig".split()
_FR = (
    "zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dixsept "
    "dixhuit dixneuf"
).split()
_FR_TENS = "- - vingt trente quarante cinquante soixante".split()
_ES = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete "
    "dieciocho diecinueve veinte veintiuno veintidos veintitres veinticuatro veinticinco veintiseis veintisiete "
    "veintiocho veintinueve"
).split()
_ES_TENS = "- - veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()
_ES_HUNDREDS = (
    "- ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos".split()
)
_PT = (
    "zero um dois tres quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis dezessete dezoito "
    "dezenove"
).split()
_PT_TENS = "- - vinte trinta quarenta cinquenta sessenta setenta oitenta noventa".split()
_PT_HUNDREDS = "- cento duzentos trezentos quatrocentos quinhentos seiscentos setecentos oitocentos novecentos".split()
_IT = (
    "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
    "diciassette diciotto diciannove"
).split()
_IT_TENS = "- - venti trenta quaranta cinquanta sessanta settanta ottanta novanta".split()
_ORDINALS = {
    4: "fourth",
    5: "fifth",
    6: "sixth",
    7: "seventh",
    8: "eighth",
    9: "ninth",
    10: "tenth",
    11: "eleventh",
    12: "twelfth",
}


def _en(n: int) -> list[str]:
    if n < 20:
        return [_EN[n]]
    if n < 100:
        return [_EN_TENS[n // 10] + (_EN[n % 10] if n % 10 else "")]
    for size, name in ((10**9, "billion"), (10**6, "million"), (1_000, "thousand"), (100, "hundred")):
        if n >= size:
            heads = _en(n // size) + (["a"] if n // size == 1 else [])
            rest = [""] if n % size == 0 else [glue + one for one in _en(n % size) for glue in ("", "and")]
            found = [head + name + tail for head in heads for tail in rest]
            if size == 1_000 and n % 100 == 0 and n // 100 % 10 and n < 10_000:
                found += [one + "hundred" for one in _en(n // 100)]
            return found
    return []


def _spoken_digits(digits: str) -> set[str]:
    """ "1905" as "one nine zero five", with "oh", "double" and "triple"."""
    found = {""}
    at = 0
    while at < len(digits):
        word = _EN[int(digits[at])]
        names = (word, "oh", "o", "nought") if digits[at] == "0" else (word,)
        run = len(digits[at:]) - len(digits[at:].lstrip(digits[at]))
        if run in (2, 3) and len(digits) > 1:
            both = {one + {2: "double", 3: "triple"}[run] + word for one in found}
            found = {one + "".join(names[:1] * run) for one in found} | {one + names[-1] * run for one in found} | both
            at += run
        else:
            found = {one + name for one in found for name in names}
            at += 1
    return found


def _english(n: int) -> set[str]:
    found = set(_en(n))
    if 1_000 < n < 10_000 and n // 100 % 10:
        head, tail = n // 100, n % 100
        for one in _en(head):
            if tail:
                found |= {f"{one}hundred{two}" for two in _en(tail)} | {f"{one}hundredand{two}" for two in _en(tail)}
                found |= {
                    one + ("" if tail > 9 else zero) + two
                    for two in _en(tail)
                    for zero in (("",) if tail > 9 else ("oh", "o", "zero", "ought"))
                }
    elif 2_000 < n < 2_100:
        found |= {
            "twenty" + ("" if n % 100 > 9 else zero) + two
            for two in _en(n % 100)
            for zero in (("",) if n % 100 > 9 else ("oh", "o", "zero"))
        }
    if n >= 10:
        found |= _spoken_digits(str(n))
    if n in _ORDINALS:
        found.add(_ORDINALS[n])
    elif 12 < n < 1_000:
        for one in _en(n):
            unit = n % 10 if n % 100 > 20 or n % 100 < 10 else 0
            if unit:
                stem = one[: -len(_EN[unit])]
                found.add(stem + {1: "first", 2: "second", 3: "third"}.get(unit, _ORDINALS.get(unit, "")))
            else:
                found.add(one[:-1] + "ieth" if one.endswith("y") else one + "th")
    if n % 12 == 0 and n <= 144:
        found |= {"dozen"} if n == 12 else {one + "dozen" for one in _en(n // 12)}
        if n == 12:
            found |= {"adozen", "onedozen"}
    if n == 6:
        found |= {"halfadozen", "halfdozen"}
    return found


def _counted(n: int, size: int, word: str, say: Callable[[int], str]) -> str:
    """So many hundreds or thousands and the rest; one of them is the word alone."""
    head, rest = divmod(n, size)
    return ("" if head == 1 else say(head)) + word + (say(rest) if rest else "")


def _german(n: int) -> str:
    if n < 20:
        return _DE[n]
    if n < 100:
        unit = "ein" if n % 10 == 1 else _DE[n % 10]
        return (f"{unit}und" if n % 10 else "") + _DE_TENS[n // 10]
    if n < 1_000 or 1_100 <= n < 2_000:
        head = "ein" if n // 100 == 1 else _DE[n // 100]
        return f"{head}hundert{_german(n % 100) if n % 100 else ''}"
    head = "ein" if n // 1_000 == 1 else _german(n // 1_000)
    return f"{head}tausend{_german(n % 1_000) if n % 1_000 else ''}"


def _dutch(n: int) -> str:
    if n < 20:
        return _NL[n]
    if n < 100:
        return (f"{_NL[n % 10]}en" if n % 10 else "") + _NL_TENS[n // 10]
    if n < 1_000 or 1_100 <= n < 2_000:
        return _counted(n, 100, "honderd", _dutch)
    return _counted(n, 1_000, "duizend", _dutch)


def _french(n: int) -> str:
    if n < 20:
        return _FR[n]
    if n < 70:
        return _FR_TENS[n // 10] + ("etun" if n % 10 == 1 else _FR[n % 10] if n % 10 else "")
    if n < 80:
        return "soixante" + ("etonze" if n == 71 else _FR[n - 60])
    if n < 100:
        return "quatrevingts" if n == 80 else f"quatrevingt{_FR[n - 80]}"
    if n < 1_000:
        rest = _french(n % 100) if n % 100 else ""
        return f"{'' if n // 100 == 1 else _FR[n // 100]}cent{'s' if not rest and n >= 200 else ''}{rest}"
    return _counted(n, 1_000, "mille", _french)


def _spanish(n: int) -> str:
    if n < 30:
        return _ES[n]
    if n < 100:
        return _ES_TENS[n // 10] + (f"y{_ES[n % 10]}" if n % 10 else "")
    if n < 1_000:
        return "cien" if n == 100 else _ES_HUNDREDS[n // 100] + (_spanish(n % 100) if n % 100 else "")
    return _counted(n, 1_000, "mil", _spanish)


def _portuguese(n: int) -> str:
    if n < 20:
        return _PT[n]
    if n < 100:
        return _PT_TENS[n // 10] + (f"e{_PT[n % 10]}" if n % 10 else "")
    if n < 1_000:
        return "cem" if n == 100 else _PT_HUNDREDS[n // 100] + (f"e{_portuguese(n % 100)}" if n % 100 else "")
    return _counted(n, 1_000, "mil", _portuguese)


def _italian(n: int) -> str:
    if n < 20:
        return _IT[n]
    if n < 100:
        tens = _IT_TENS[n // 10]
        return (tens[:-1] if n % 10 in (1, 8) else tens) + (_IT[n % 10] if n % 10 else "")
    if n < 1_000:
        return _counted(n, 100, "cento", _italian)
    head = "mille" if n // 1_000 == 1 else f"{_italian(n // 1_000)}mila"
    return f"{head}{_italian(n % 1_000) if n % 1_000 else ''}"


@lru_cache(maxsize=512)
def forms(n: int, fraction: str = "") -> frozenset[str]:
    """Every form of n in words, without blanks and hyphens, folded."""
    if fraction:
        digits = _spoken_digits(fraction)
        return frozenset(
            f"{head}{point}{tail}" for head in _en(n) for point in ("point", "comma", "dot") for tail in digits
        )
    found = _english(n) if n < 10**9 else set()
    if n < 10_000:
        found |= {_german(n), _dutch(n), _french(n), _spanish(n), _portuguese(n), _italian(n)}
        if n >= 200:
            found.add(_portuguese(n).replace("mil", "mile"))
    return frozenset(found)


@lru_cache(maxsize=1)
def number_words() -> frozenset[str]:
    """The folded words that a number in words may be made of."""
    tens = {*_EN_TENS, *_DE_TENS, *_NL_TENS, *_FR_TENS, *_ES_TENS, *_PT_TENS, *_IT_TENS} - {"-"}
    units = {*_EN, *_DE, *_NL, *_FR, *_ES, *_PT, *_IT} - {
        "un",
        "uno",
        "um",
        "een",
        "one",
        "sei",
        "due",
        "once",
        "otto",
        "elf",
        "ten",
    }
    return frozenset(
        tens | units | set("one hundred thousand million billion cent cents mille mil point hundert tausend".split())
    )


@lru_cache(maxsize=256)
def roman(n: int) -> str | None:
    """The Roman numeral of 2 to 3999 with two letters or more, else None."""
    if not 0 < n < 4_000:
        return None
    found = ""
    for value, sign in (
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ):
        while n >= value:
            found, n = found + sign, n - value
    return found if len(found) > 1 else None
