"""Paraphrases: the public ones as written, the hidden ones drawn from a grammar by a secret.

A hidden split asks in wordings that stand nowhere: each is an opening, a core of the relation and a
closing, picked by a keyed hash of (secret, relation, subject, number). Organisers add their own cores from a
file outside the repository (`secret/templates.toml`, one list a relation), which makes them unguessable.
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluator.benchmark.facts import Relation

OPENINGS = (
    "",
    "",
    "Quick question: ",
    "For a quiz: ",
    "Please tell me: ",
    "Here is a question. ",
    "I would like to know: ",
    "Hello! ",
    "For my homework: ",
    "Can you help? ",
    "Question: ",
)
CLOSINGS = ("", "", "", "", " Thanks!", " Thank you.", " Please answer briefly.")


def keyed_number(secret: bytes, *parts: object) -> int:
    """A number in [0, 2^64) from HMAC-SHA256 of the parts: the same for the same secret, unguessable without."""
    message = "\x1f".join(str(part) for part in parts).encode()
    return int.from_bytes(hmac.digest(secret, message, hashlib.sha256)[:8], "big")


def public_paraphrases(relation: Relation, subject: str, k: int) -> list[str]:
    """The first `k` public wordings of a relation."""
    return [template.format(s=subject) for template in relation.public[:k]]


def hidden_paraphrases(
    relation: Relation, subject: str, k: int, *, secret: bytes, extra: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """`k` wordings from the secret grammar; the first ones use a core each, then the cores come round again."""
    cores = [*relation.cores, *(extra or {}).get(relation.name, ())]
    cores.sort(key=lambda core: keyed_number(secret, "core", relation.name, subject, core))
    found: list[str] = []
    for number in range(k):
        core = cores[number % len(cores)]
        opening = OPENINGS[keyed_number(secret, "opening", relation.name, subject, number) % len(OPENINGS)]
        closing = CLOSINGS[keyed_number(secret, "closing", relation.name, subject, number) % len(CLOSINGS)]
        found.append(opening + core.format(s=subject) + closing)
    return found


def extra_templates_load(path: Path) -> dict[str, list[str]]:
    """The organisers' own cores: `relation = ["… {s} …", …]`. An absent file is an empty table.

    Raises `ValueError` naming the relation and template that lacks `{s}`.
    """
    if not path.is_file():
        return {}
    table = tomllib.loads(path.read_text())
    for relation, templates in table.items():
        for template in templates:
            if "{s}" not in template:
                raise ValueError(f"templates: {relation}: {template!r} has no {{s}}; write where the subject stands")
    return {relation: list(templates) for relation, templates in table.items()}
