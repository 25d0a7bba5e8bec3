"""Whether a text has a number in another form than its digits: words, digits apart, Roman, thousands, short years."""

from __future__ import annotations

import re

from evaluator.answers.number_forms import SMALL, forms, number_words, roman
from evaluator.answers.said import Said

#: Number words abroad that are other words elsewhere: alone they count in a short answer only.
_ALSO_WORDS = frozenset("un una uno um een once due sei otto elf mil cent dos tre".split())
_SLIPS = {
    "fourty": "forty",
    "fourthy": "forty",
    "fivety": "fifty",
    "fifthy": "fifty",
    "ninty": "ninety",
    "nintey": "ninety",
    "ninteen": "nineteen",
    "nineten": "nineteen",
    "eigth": "eight",
    "eigthy": "eighty",
    "eightteen": "eighteen",
    "twelf": "twelve",
    "tweleve": "twelve",
    "twenny": "twenty",
    "fourten": "fourteen",
    "forteen": "fourteen",
    "seventen": "seventeen",
    "sixten": "sixteen",
    "thirten": "thirteen",
    "threee": "three",
    "hundered": "hundred",
    "thosand": "thousand",
    "thousend": "thousand",
    "sevety": "seventy",
    "fiveteen": "fifteen",
    "therty": "thirty",
}
_GLUE = frozenset("and und et y e en".split())
_ALIAS = re.compile(
    r"[^\w\d]{0,3}(\d{1,3}(?:[,. ]\d{3})+|\d{1,9})(?:\.(\d{1,6}))?(?:\W{0,3}[^\W\d_]{1,15}){0,2}\W{0,2}"
)
_THOUSANDS = re.compile(
    r"(?<![\d.,])(\d{1,6})(?:[.,](\d{1,3}))?\s?(k|thousand|grand|m|mn|million|mio|bn|billion)\b", re.IGNORECASE
)
_SCALE = {"k": 3, "thousand": 3, "grand": 3, "m": 6, "mn": 6, "million": 6, "mio": 6, "bn": 9, "billion": 9}
_DOTTED = re.compile(r"(?<![\d.,])\d{1,3}(?:[.'’]\d{3})+(?![\d])")
_APART = re.compile(r"(?<![\w.,])\d(?:(?: ?[-–·/] ?| |\. ?|, ?)\d){1,9}(?![\w]|[.,]\d)")


def number_of(alias: str) -> tuple[int, str] | None:
    """(whole part, digits behind the point) of an alias that is a number with at most a sign and a unit; else None."""
    match = _ALIAS.fullmatch(alias.strip())
    if match is None:
        return None
    return int(re.sub(r"\D", "", match.group(1))), match.group(2) or ""


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
    short = len(digits) == 4 and digits[:2] in ("17", "18", "19", "20")
    if short and re.search(rf"(?<![\w'’])['’]{digits[2:]}(?![\d%°'’])", said.text):
        return True
    return _is_roman(said, n)


def _scaled(whole: str, part: str | None, scale: str) -> int | None:
    if scale == "M" and part is None and len(whole) < 2:
        return None
    power = _SCALE[scale.lower()]
    rest: int = int(part) * 10 ** (power - len(part)) if part else 0
    scaled: int = int(whole) * 10**power
    return scaled + rest


def _told_apart(found: str, digits: str) -> bool:
    """ "1 9 1 2" or "1-9-1-2"; a list with commas or full stops needs four digits."""
    if re.sub(r"\D", "", found) != digits:
        return False
    return len(digits) >= 4 or (
        "," not in found and "." not in found and len(digits) >= (3 if "/" in found or "-" in found else 2)
    )


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
    if end == at and joined in _ALSO_WORDS and joined not in SMALL and len(words) > 3:
        return False
    if any("," in said.before(i) for i in range(at + 1, end + 1)) and end - at < 3:
        return False
    numbers = number_words()
    before, after = at - 1, end + 1
    ahead = words[before - 1 if before > 0 and words[before] == "a" else before] if before >= 0 else ""
    if joined.endswith("dozen") and (ahead == "half" or ahead in numbers):
        return False
    if before >= 0 and words[before] in _GLUE:
        before -= 1
    if before >= 0 and words[before] in numbers and len(said.before(at)) <= 5 and "," not in said.before(at):
        return False
    if after < len(words) and words[after] in _GLUE and after + 1 < len(words) and words[after + 1] in numbers:
        # "seven and eight" are two numbers, "setenta y nueve" is one.
        return words[after] == "and" and joined in SMALL
    return not (
        after < len(words) and (words[after] in numbers or words[after] == "dozen") and "," not in said.gap(end)
    )
