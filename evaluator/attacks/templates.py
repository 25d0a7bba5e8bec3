"""The wordings of attacks: public ones that stand as they are, and patterns that a secret draws from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evaluator.probes import pattern_size

_SLOT = re.compile(r"\{(\w+)\}")
#: Fewer wordings than this in `secret` are a list, not a secret.
LEAST_SECRET = 20


@dataclass(frozen=True)
class Templates:
    """`public`: texts; `secret`: patterns (`[a|b]`). Both with the same slots in braces."""

    public: tuple[str, ...]
    secret: tuple[str, ...]

    @classmethod
    def read(cls, where: str, found: Mapping[str, Any] | None, *slots: str) -> Templates:
        """The templates of a table (`public`, `secret`), each of which must hold the slots and no other.

        Raises `ValueError` naming the place, the template and what is wrong with it.
        """
        if not found or not found.get("public") or not found.get("secret"):
            raise ValueError(f"{where}: has no templates; give lists `public` and `secret`")
        for template in (*found["public"], *found["secret"]):
            has = set(_SLOT.findall(template))
            if missing := [slot for slot in slots if slot not in has]:
                raise ValueError(f"{where}: {template!r} has no {{{missing[0]}}}; write where it stands")
            if other := sorted(has - set(slots)):
                raise ValueError(f"{where}: {template!r} has {{{other[0]}}}, which nothing fills; known: {list(slots)}")
        if (size := sum(map(pattern_size, found["secret"]))) < LEAST_SECRET:
            raise ValueError(f"{where}: secret has {size} wordings, it needs {LEAST_SECRET}; add patterns ([a|b])")
        return cls(tuple(found["public"]), tuple(found["secret"]))
