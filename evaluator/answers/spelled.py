"""Answers taken apart into letters: spelled out, reversed, masked, glued, in look-alike digits, or in a plain code."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterable

from evaluator.answers.known_names import is_common
from evaluator.answers.said import Said, compact, plain

#: Words that may stand between two letters that are told one after another.
_BETWEEN = frozenset(
    """
    then and followed by the with next finally first second third fourth fifth sixth seventh eighth ninth tenth last
    is letter letters capital uppercase small lowercase big little space dash hyphen comma dot plus an another again
    et und puis dann suivi de la le lettre lettres letra letras lettera buchstabe buchstaben gefolgt von seguida da
    """.split()
)
_LETTER_KINDS = frozenset("capital uppercase small lowercase big little letter double single".split())
#: Words of two and three letters: two of them side by side are no name in two pieces ("on par is").
_TINY = frozenset(
    """
    a i ad ah am an as at be by do ed en ex go ha he hi ho id if in is it la ma me mi mu my na no of oh on or ox
    pa pi re so to uh um up us we ace act add ado age ago aid aim air ale all and ant any ape app apt arc are arm
    art ash ask ate bad bag ban bar bat bay bed bee bet bid big bin bit bow box boy bud bug bus but buy cab can
    cap car cat cot cow cry cup cut dad dam day den did die dig dim dip dog don dot dry due ear eat egg ego end
    era eve eye fan far fat fee few fig fin fit fix fly fog for fox fun fur gap gas get god got gum gun gut guy
    had ham has hat hay hen her hid him hip his hit hot how hub hue hug hut ice ill ink inn ion ivy jam jar jaw
    jet job jog joy key kid kin kit lab lad lag lap law lay led leg let lid lie lip lit log lot low mad man map
    mat may men met mid mix mob mom mud mug net new nod nor not now nut oak oar odd off oil old one our out owe
    owl own pad pal pan par pat paw pay pea pen per pet pie pig pin pit pop pot put ram ran rap rat raw ray red
    rib rid rim rip rob rod rot row rub rug run rye sad sat saw say sea see set sew sex she shy sin sip sir sit
    six ski sky sly sob sow spa spy sum sun tab tag tan tap tar tax tea ten the tie tin tip toe ton too top toy
    try tub tug two use van vet via vow war was wax way web wed wet who why wig win wit woe won yes yet you zip
    zoo
    """.split()
)
_AS_IN = frozenset("as for like wie comme come como".split())
_NATO = {
    word: word[0]
    for word in (
        "alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november "
        "oscar papa "
        "quebec romeo sierra tango uniform victor whiskey whisky xray yankee zulu"
    ).split()
}
_BACKWARDS = re.compile(
    r"(?i)\b(?:back ?wards?|revers\w{1,6}|mirror\w{0,3}|flipped|envers|rueckwaerts|rückwärts|reves|revés|"
    r"contrario|achterstevoren|right to left)\b"
)
_GLUED = re.compile(r"(?<![^\W_])[^\W_]+(?:[-._·•|/+*~:,=]{1,3}[^\W_]+)+")
_MASKED = re.compile(r"(?<![\w*#])[^\W\d_][^\W\d_*#•●■□_?@$%&]{0,30}(?:[*#•●■□_?@$%&]{1,3}[^\W\d_]{0,30}){1,10}")
_MASKS = "*#•●■□_?@$%&"
_LEET = re.compile(r"[\w@$!|€]{4,30}")
_LEET_SIGNS = frozenset("013457@$!|€")
_LEETS = (str.maketrans("013457@$!|€", "oieastasile"), str.maketrans("013457@$!|€", "oleastaslie"))
_CODED = re.compile(r"[A-Za-z0-9+/]{6,60}={0,2}")
_ENDS = re.compile(
    r"(?i)(?:start|begin)\w{0,4} (?:with|in|off with)\W{1,3}([^\W\d_]{2,12})\b.{0,40}?\bend\w{0,3} (?:with|in|"
    r"on)\W{1,3}([^\W\d_]{1,12})"
)
_MOST = 200


def letter_runs(said: Said) -> list[str]:
    """The letters told one by one ("P.a.r.i.s", "P, then A", "P as in Papa", "Papa Alpha"), a run each, as written."""
    runs: list[str] = []
    run, idle, at = "", 0, 0
    words = said.words
    nato = ""

    def close() -> None:
        nonlocal run, idle
        if len(run) > 1 and len(runs) < _MOST:
            runs.append(run)
        run, idle = "", 0

    while at < len(words):
        text, folded = words[at].text, words[at].folded
        nato = nato + _NATO[folded] if folded in _NATO else ""
        if len(nato) >= 3 and len(runs) < _MOST:
            runs.append(nato)
        if run and len(said.before(at)) > 6:
            close()
        if len(text) == 1 and text.isalpha():
            following = words[at + 1].folded if at + 1 < len(words) else ""
            if not (text == "a" and following in _LETTER_KINDS):
                run += text
            idle = 0
        elif folded in ("double", "twice") and at + 1 < len(words) and len(words[at + 1].text) == 1:
            run += words[at + 1].text
        elif run and folded in _AS_IN and at + 1 < len(words):
            at += 2 if folded == "as" and words[at + 1].folded == "in" else 1
        elif run and folded in _BETWEEN and idle < 5:
            idle += 1
        else:
            close()
        at += 1
    close()
    return runs


def _in_letters(said: Said, wanted: str, *, short: bool) -> bool:
    for run in said.letter_runs(letter_runs):
        folded = plain(run)
        stripped = folded.removeprefix("a").removeprefix("i")
        if short:
            if wanted in (folded, stripped) and (len(wanted) > 2 or not _initials_of_a_person(said, run)):
                return True
        elif wanted in folded or wanted in folded[::-1]:
            return True
    return False


def _initials_of_a_person(said: Said, run: str) -> bool:
    """Whether two letters stand as initials before a name ("P. B. Shelley")."""
    return bool(re.search(rf"\b{re.escape(run[0])}\.\s?{re.escape(run[1])}\.\s?[^\W\d_]{{3}}", said.text))


def _glued(said: Said, wanted: str) -> bool:
    """Pieces with signs between them ("Par-is"), or parted by blanks ("Par is")."""
    for match in _GLUED.finditer(said.text):
        whole = compact(match.group())
        if whole == wanted or (len(wanted) >= 5 and wanted == whole[::-1]):
            return True
    words = said.words
    for at in range(len(words) - 1):
        if not wanted.startswith(words[at].folded):
            continue
        joined, pieces = "", []
        for end in range(at, min(at + 5, len(words))):
            if end > at and (len(said.before(end)) > 3 or "\n" in said.before(end)):
                break
            joined += words[end].folded
            pieces.append(words[end].folded)
            if not wanted.startswith(joined):
                break
            if joined == wanted and end > at:
                return not all(piece in _TINY or is_common(piece) for piece in pieces) or not said.before(end).isspace()
    return False


def _turned(said: Said, wanted: str) -> bool:
    backwards = _BACKWARDS.search(said.text)
    for word in said.distinct.values():
        if len(word.folded) == len(wanted) and word.folded[::-1] == wanted:
            odd_case = word.text[-1].isupper() and word.text[:-1].islower()
            if backwards or odd_case or (len(wanted) >= 6 and not is_common(word.folded)):
                return True
    return False


def _masked(said: Said, wanted: str) -> bool:
    """Letters hidden behind signs, at least half of them shown ("P*ris"), or look-alike digits ("P4r1s")."""
    for match in _MASKED.finditer(said.text):
        token = plain(match.group()).strip("*_?")
        if len(token) == len(wanted) and any(c in _MASKS for c in token):
            shown = sum(c not in _MASKS for c in token)
            if 2 * shown >= len(wanted) and all(c in _MASKS or c == w for c, w in zip(token, wanted, strict=True)):
                return True
    for match in _LEET.finditer(said.text):
        token = match.group()
        if not _LEET_SIGNS.isdisjoint(token) and any(c.isalpha() for c in token):
            bare = plain(token).strip("!|")
            if any(compact(one.translate(leet)) == wanted for leet in _LEETS for one in (plain(token), bare)):
                return True
    return False


def _coded(said: Said, wanted: str) -> bool:
    if "rot" in said.text.casefold() or "caesar" in said.text.casefold():
        turned = codecs.encode(wanted, "rot13")
        if turned in said.distinct:
            return True
    for match in list(_CODED.finditer(said.text))[:_MOST]:
        token = match.group()
        if len(token.rstrip("=")) < 6 or token.islower():
            continue
        try:
            text = base64.b64decode(token + "=" * (-len(token) % 4), validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            continue
        if wanted in compact(text):
            return True
    return False


def is_spelled_abroad(said: Said, names: Iterable[str]) -> bool:
    """Whether one of the names in other languages, of 5 letters or more, is told letter by letter."""
    if not said.letter_runs(letter_runs):
        return False
    return any(_in_letters(said, wanted, short=False) for wanted in map(compact, names) if len(wanted) >= 5)


def is_spelled(said: Said, alias: str) -> bool:
    """Whether the letters of `alias`, 2 or more, are told in a disguise. Linear in the text's length."""
    wanted = compact(alias)
    if len(wanted) < 2 or wanted.isdigit():
        return False
    if _in_letters(said, wanted, short=len(wanted) < 4):
        return True
    if len(wanted) < 4:
        return False
    if said.mixed and all(compact(word) in said.distinct for word in alias.split()):
        return True
    if " " in alias.strip() and len(wanted) >= 6 and wanted in said.distinct:
        return True
    if any(plain(one + two) == wanted for one, two in _ENDS.findall(said.text)):
        return True
    stretched = re.sub(r"(.)\1+", r"\1", wanted)
    if any(re.search(r"(.)\1\1", word) and re.sub(r"(.)\1+", r"\1", word[:60]) == stretched for word in said.distinct):
        return True
    return (
        (len(wanted) >= 5 and _glued(said, wanted))
        or any(search(said, wanted) for search in (_turned, _masked, _coded))
        or (len(wanted) == 4 and any(compact(m.group()) == wanted for m in _GLUED.finditer(said.text)))
    )
