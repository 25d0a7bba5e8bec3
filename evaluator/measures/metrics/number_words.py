"""Every usual way to write one number: words in seven languages, read digit by digit, Roman, in dozens, in thousands."""

from __future__ import annotations

import re
from functools import lru_cache

from evaluator.measures.metrics.said import Said

_EN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_EN_TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
_DE = "null eins zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn siebzehn achtzehn neunzehn".split()
_DE_TENS = "- - zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig".split()
_NL = "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien achttien negentien".split()
_NL_TENS = "- - twintig dertig veertig vijftig zestig zeventig tachtig negentig".split()
_FR = "zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dixsept dixhuit dixneuf".split()
_FR_TENS = "- - vingt trente quarante cinquante soixante".split()
_ES = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete "
    "dieciocho diecinueve veinte veintiuno veintidos veintitres veinticuatro veinticinco veintiseis veintisiete "
    "veintiocho veintinueve"
).split()
_ES_TENS = "- - veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa".split()
_ES_HUNDREDS = "- ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos".split()
_PT = (
    "zero um dois tres quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis dezessete dezoito "
    "dezenove"
).split()
_PT_TENS = "- - vinte trinta quarenta cinquenta sessenta setenta oitenta noventa".split()
_PT_HUNDREDS = "- cento duzentos trezentos quatrocentos quinhentos seiscentos setecentos oitocentos novecentos".split()
_IT = "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove".split()
_IT_TENS = "- - venti trenta quaranta cinquanta sessanta settanta ottanta novanta".split()
_ORDINALS = {
    4: "fourth", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth", 9: "ninth", 10: "tenth", 11: "eleventh", 12: "twelfth",
}  # fmt: skip
#: Number words abroad that are other words in English or in another of the languages: alone they count in a short answer only.
_ALSO_WORDS = frozenset("un una uno um een once due sei otto elf mil cent dos tre".split())
_SLIPS = {
    "fourty": "forty", "fourthy": "forty", "fivety": "fifty", "fifthy": "fifty", "ninty": "ninety", "nintey": "ninety",
    "ninteen": "nineteen", "nineten": "nineteen", "eigth": "eight", "eigthy": "eighty", "eightteen": "eighteen",
    "twelf": "twelve", "tweleve": "twelve", "twenny": "twenty", "fourten": "fourteen", "forteen": "fourteen",
    "seventen": "seventeen", "sixten": "sixteen", "thirten": "thirteen", "threee": "three", "hundered": "hundred",
    "thosand": "thousand", "thousend": "thousand", "sevety": "seventy", "fiveteen": "fifteen", "therty": "thirty",
}  # fmt: skip
_GLUE = frozenset("and und et y e en".split())
_ALIAS = re.compile(r"[^\w\d]{0,3}(\d{1,3}(?:[,. ]\d{3})+|\d{1,9})(?:\.(\d{1,6}))?(?:\W{0,3}[^\W\d_]{1,15}){0,2}\W{0,2}")
_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,6})(?:[.,](\d{1,3}))?\s?(k|thousand|grand|m|mn|million|mio|bn|billion)\b", re.I)
_SCALE = {"k": 3, "thousand": 3, "grand": 3, "m": 6, "mn": 6, "million": 6, "mio": 6, "bn": 9, "billion": 9}
_DOTTED = re.compile(r"(?<![\d.,])\d{1,3}(?:[.'’]\d{3})+(?![\d])")
_APART = re.compile(r"(?<![\w.,])\d(?:(?: ?[-–·/] ?| |\. ?|, ?)\d){1,9}(?![\w]|[.,]\d)")


def number_of(alias: str) -> tuple[int, str] | None:
    """(whole part, digits behind the point) of an alias that is a number with at most a sign and a unit; else None."""
    match = _ALIAS.fullmatch(alias.strip())
    if match is None:
        return None
    return int(re.sub(r"\D", "", match.group(1))), match.group(2) or ""


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
                found |= {one + ("" if tail > 9 else zero) + two for two in _en(tail) for zero in (("",) if tail > 9 else ("oh", "o", "zero", "ought"))}
    elif 2_000 < n < 2_100:
        found |= {"twenty" + ("" if n % 100 > 9 else zero) + two for two in _en(n % 100) for zero in (("",) if n % 100 > 9 else ("oh", "o", "zero"))}
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
        return f"{'' if n // 100 == 1 else _NL[n // 100]}honderd{_dutch(n % 100) if n % 100 else ''}"
    return f"{'' if n // 1_000 == 1 else _dutch(n // 1_000)}duizend{_dutch(n % 1_000) if n % 1_000 else ''}"


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
    return f"{'' if n // 1_000 == 1 else _french(n // 1_000)}mille{_french(n % 1_000) if n % 1_000 else ''}"


def _spanish(n: int) -> str:
    if n < 30:
        return _ES[n]
    if n < 100:
        return _ES_TENS[n // 10] + (f"y{_ES[n % 10]}" if n % 10 else "")
    if n < 1_000:
        return "cien" if n == 100 else _ES_HUNDREDS[n // 100] + (_spanish(n % 100) if n % 100 else "")
    return f"{'' if n // 1_000 == 1 else _spanish(n // 1_000)}mil{_spanish(n % 1_000) if n % 1_000 else ''}"


def _portuguese(n: int) -> str:
    if n < 20:
        return _PT[n]
    if n < 100:
        return _PT_TENS[n // 10] + (f"e{_PT[n % 10]}" if n % 10 else "")
    if n < 1_000:
        return "cem" if n == 100 else _PT_HUNDREDS[n // 100] + (f"e{_portuguese(n % 100)}" if n % 100 else "")
    return f"{'' if n // 1_000 == 1 else _portuguese(n // 1_000)}mil{_portuguese(n % 1_000) if n % 1_000 else ''}"


def _italian(n: int) -> str:
    if n < 20:
        return _IT[n]
    if n < 100:
        tens = _IT_TENS[n // 10]
        return (tens[:-1] if n % 10 in (1, 8) else tens) + (_IT[n % 10] if n % 10 else "")
    if n < 1_000:
        return f"{'' if n // 100 == 1 else _IT[n // 100]}cento{_italian(n % 100) if n % 100 else ''}"
    head = "mille" if n // 1_000 == 1 else f"{_italian(n // 1_000)}mila"
    return f"{head}{_italian(n % 1_000) if n % 1_000 else ''}"


@lru_cache(maxsize=512)
def forms(n: int, fraction: str = "") -> frozenset[str]:
    """Every form of n in words, without blanks and hyphens, folded."""
    if fraction:
        digits = _spoken_digits(fraction)
        return frozenset(f"{head}{point}{tail}" for head in _en(n) for point in ("point", "comma", "dot") for tail in digits)
    found = _english(n) if n < 10**9 else set()
    if n < 10_000:
        found |= {_german(n), _dutch(n), _french(n), _spanish(n), _portuguese(n), _italian(n)}
        if n >= 200:
            found.add(_portuguese(n).replace("mil", "mile"))
    return frozenset(found)


@lru_cache(maxsize=1)
def _number_words() -> frozenset[str]:
    tens = {*_EN_TENS, *_DE_TENS, *_NL_TENS, *_FR_TENS, *_ES_TENS, *_PT_TENS, *_IT_TENS} - {"-"}
    units = {*_EN, *_DE, *_NL, *_FR, *_ES, *_PT, *_IT} - {"un", "uno", "um", "een", "one", "sei", "due", "once", "otto", "elf", "ten"}
    return frozenset(tens | units | set("one hundred thousand million billion cent cents mille mil point hundert tausend".split()))


@lru_cache(maxsize=256)
def roman(n: int) -> str | None:
    """The Roman numeral of 2 to 3999 with two letters or more, else None."""
    if not 0 < n < 4_000:
        return None
    found = ""
    for value, sign in ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
                        (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")):  # fmt: skip
        while n >= value:
            found, n = found + sign, n - value
    return found if len(found) > 1 else None


def is_number_said(said: Said, alias: str) -> bool:
    """Whether the number that `alias` is stands in the text in another form. False for an alias that is no number."""
    number = number_of(alias)
    if number is None:
        return False
    n, fraction = number
    if _in_words(said, forms(n, fraction)):
        return True
    if fraction:
        return False
    digits = str(n)
    if any(re.sub(r"\D", "", match.group()) == digits for match in _DOTTED.finditer(said.text)):
        return True
    if any(_scaled(*match.groups()) == n for match in _THOUSANDS.finditer(said.text)):
        return True
    if len(digits) >= 2 and any(_told_apart(match.group(), digits) for match in _APART.finditer(said.text)):
        return True
    if len(digits) == 4 and digits[:2] in ("17", "18", "19", "20"):
        if re.search(rf"(?<![\w'’])['’]{digits[2:]}(?![\d%°'’])", said.text):
            return True
    return _is_roman(said, n)


def _scaled(whole: str, part: str | None, scale: str) -> int | None:
    if scale == "M" and part is None and len(whole) < 2:
        return None
    power = _SCALE[scale.lower()]
    return int(whole) * 10**power + (int(part) * 10 ** (power - len(part)) if part else 0)


def _told_apart(found: str, digits: str) -> bool:
    """ "1 9 1 2" or "1-9-1-2"; a list with commas or full stops needs four digits."""
    if re.sub(r"\D", "", found) != digits:
        return False
    return len(digits) >= 4 or ("," not in found and "." not in found and len(digits) >= (3 if "/" in found or "-" in found else 2))


def _is_roman(said: Said, n: int) -> bool:
    wanted = roman(n)
    if wanted is None or (said.shouts and len(said.words) > 3):
        return False
    for at, word in enumerate(said.words):
        if word.text == wanted:
            ahead = said.words[at - 1] if at else None
            # "World War II", "Louis XIV": a numeral behind a name belongs to the name.
            named = ahead is not None and said.before(at) == " " and ahead.text[0].isupper() and at > 1
            if not named or n > 100:
                return True
    return False


def _in_words(said: Said, wanted: frozenset[str]) -> bool:
    words = [_SLIPS.get(word.folded, word.folded) for word in said.words]
    longest = max(map(len, wanted), default=0)
    heads = {form[:3] for form in wanted}
    for at, word in enumerate(words):
        if word[:3] not in heads and not (len(word) < 3 and any(form.startswith(word) for form in wanted)):
            continue
        joined = ""
        for end in range(at, min(at + 14, len(words))):
            if end > at and len(said.before(end)) > 3:
                break
            joined += words[end]
            if len(joined) > longest:
                break
            if joined in wanted and _stands_alone(said, words, at, end, joined):
                return True
    return False


def _stands_alone(said: Said, words: list[str], at: int, end: int, joined: str) -> bool:
    """Whether no further number word belongs to the one found, and it is not read out of a list ("six, seven")."""
    if end == at and joined in _ALSO_WORDS and joined not in _EN[:11] + _EN_TENS and len(words) > 3:
        return False
    if any("," in said.before(i) for i in range(at + 1, end + 1)) and end - at < 3:
        return False
    numbers = _number_words()
    before, after = at - 1, end + 1
    if joined.endswith("dozen") and before >= 0 and words[before] in ("half", "a", *numbers):
        if words[before] != "a" or (before and words[before - 1] == "half"):
            return False
    if before >= 0 and words[before] in _GLUE:
        before -= 1
    if before >= 0 and words[before] in numbers and len(said.before(at)) <= 5 and "," not in said.before(at):
        return False
    if after < len(words) and words[after] in _GLUE and after + 1 < len(words) and words[after + 1] in numbers:
        # "seven and eight" are two numbers, "setenta y nueve" is one.
        return words[after] == "and" and joined in _EN
    return not (after < len(words) and (words[after] in numbers or words[after] == "dozen") and "," not in said.gap(end))
