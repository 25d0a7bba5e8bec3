"""Patterns: `[Which|What] city is {s}'s capital?` stands for two wordings; a secret draws one of many."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from math import prod

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def keyed_number(secret: bytes, *parts: object) -> int:
    """A number in [0, 2^64) from HMAC-SHA256 of the parts: the same for the same secret, unguessable without."""
    message = "\x1f".join(str(part) for part in parts).encode()
    return int.from_bytes(hmac.digest(secret, message, hashlib.sha256)[:8], "big")


def pattern_size(pattern: str) -> int:
    """How many wordings a pattern stands for."""
    return prod(len(choice.split("|")) for choice in _CHOICE.findall(pattern))


def pattern_wording(pattern: str, number: int) -> str:
    """One of a pattern's wordings; every number gives one, and 0 … `pattern_size` - 1 give each once."""
    left = number

    def chosen(found: re.Match[str]) -> str:
        nonlocal left
        choices = found.group(1).split("|")
        left, place = divmod(left, len(choices))
        return choices[place]

    return _CHOICE.sub(chosen, pattern)


def drawn(patterns: Sequence[str], number: int) -> str:
    """The wording that a number stands for, all wordings of all patterns being equally likely."""
    place = number % sum(map(pattern_size, patterns))
    for pattern in patterns:
        if place < pattern_size(pattern):
            return pattern_wording(pattern, place)
        place -= pattern_size(pattern)
    raise AssertionError("the place is below the sum")
