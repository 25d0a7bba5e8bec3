"""The text of a manifest, TOML or JSON, as a table of plain values: what is too much is refused before it is parsed."""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

#: Bytes of a manifest. Free settings have a limit of their own.
MANIFEST_MAX_BYTES = 100_000
#: Tables and lists within one another, the parts of a dotted key included: a parser's memory grows with their square.
NESTING_MAX = 32
#: A whole number beyond a double's range is a slip, and one of many digits can't be printed.
_NUMBER_MAX_BITS = 1024
_BYTE_ORDER_MARK = "\ufeff"
#: What is not looked into (strings, comments), then what opens, closes, extends a key, or begins another. A string that
#: never ends takes all that follows, so that the time is linear in the text.
_SIGNS = re.compile(
    r'"""(?:\\.|.)*?(?:"{3,5}|\Z)|\'\'\'.*?(?:\'{3,5}|\Z)|"(?:\\.|[^"\\\n])*(?:"|(?=\n)|\Z)|\'[^\'\n]*(?:\'|(?=\n)|\Z)'
    r"|#[^\n]*|(?P<sign>[\[\]{}.\n,=])",
    re.DOTALL,
)


class ManifestError(ValueError):
    """Every fault of a manifest at once; `problems` is a list of {field, value, problem, remedy}."""

    def __init__(self, problems: list[dict[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{p['field']}: {p['problem']} ({p['remedy']})" for p in problems))


def table_read(raw: bytes | str, *, name: str = "", is_json: bool = False) -> Any:
    """What the text of a manifest holds; JSON where `is_json`, or where it begins with a brace. One byte-order mark is
    dropped. Raises `ManifestError`; `name` is what it calls the text.
    """
    size = len(raw.encode(errors="replace") if isinstance(raw, str) else raw)
    if size > MANIFEST_MAX_BYTES:
        problem = f"has {size} bytes" if isinstance(raw, str) else f"has more than {MANIFEST_MAX_BYTES} bytes"
        raise _refused(name, problem, f"give at most {MANIFEST_MAX_BYTES}; data belongs into the image")
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        text = text.removeprefix(_BYTE_ORDER_MARK)
        if _is_deep(text):
            problem = f"holds tables, lists or parts of a dotted key more than {NESTING_MAX} deep"
            raise _refused(name, problem, "give shallower settings")
        return json.loads(text) if is_json or text.lstrip()[:1] == "{" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, ManifestError):
            raise
        raise _refused(name, f"cannot be parsed: {error}", "write valid UTF-8 TOML, or JSON") from None


def plain_problems(data: Any) -> list[dict[str, str]]:
    """What of `data` JSON or a database can't keep, each value by its field: dates, NUL, half characters, numbers
    without end, and what lies too deep.
    """
    found: list[dict[str, str]] = []
    todo: list[tuple[str, int, Any]] = [("", 0, data)]
    while todo:
        field, depth, value = todo.pop()
        if problem := _plain_problem(value, depth):
            what, remedy = problem
            shown = str(value) if isinstance(value, datetime.date | datetime.time) else ""
            shown = ascii(value)[:80] if isinstance(value, str) else shown
            found.append({"field": field or "manifest", "value": shown, "problem": what, "remedy": remedy})
        else:
            todo += [(f"{field}.{key}" if field else key, depth + 1, inner) for key, inner in _inner(value)]
    return found[::-1]


def _inner(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            shown = str(key).encode(errors="backslashreplace").decode().replace("\0", "\\x00")
            yield shown, key if isinstance(key, str) and _text_problem(key) else inner
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield str(place), inner


def _plain_problem(value: Any, depth: int) -> tuple[str, str] | None:
    if depth > NESTING_MAX:
        return f"lies more than {NESTING_MAX} tables or lists deep", "give shallower settings"
    if isinstance(value, datetime.date | datetime.time):
        return "is a date or time, which JSON does not have", f'write it as text: "{value}"'
    if isinstance(value, int) and value.bit_length() > _NUMBER_MAX_BITS:
        return f"is a whole number of {value.bit_length()} bits", f"give at most {_NUMBER_MAX_BITS}, or text"
    return _text_problem(value) if isinstance(value, str) else None


def _text_problem(text: str) -> tuple[str, str] | None:
    if "\0" in text:
        return "holds a NUL character, which no database stores", "remove it"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "holds half a character (a lone surrogate), which no database stores", "write the text as UTF-8"
    return None


def _is_deep(text: str) -> bool:
    """Whether brackets that are open and the dots of one key are more than `NESTING_MAX` together."""
    is_open = dots = 0
    for found in _SIGNS.finditer(text):
        sign = found["sign"]
        if sign == ".":
            dots += 1
        elif sign is not None:
            dots = 0
            is_open = max(0, is_open + (sign in "[{") - (sign in "]}"))
        if is_open + dots > NESTING_MAX:
            return True
    return False


def _refused(name: str, problem: str, remedy: str) -> ManifestError:
    return ManifestError([{"field": "manifest", "value": name, "problem": problem, "remedy": remedy}])
