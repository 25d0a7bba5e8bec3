"""Wordings of questions: the public ones as written, those of hidden splits drawn by a secret from millions.

A pattern stands for many wordings: `[Which|What] city is {s}'s capital?` for two. A hidden question is an opening, a
core of its relation and a closing, each drawn by a keyed hash of the installation's secret: of all that
a fact could be asked in, a release holds two. Organisers add cores of their own, which stand in no repository, in
`secret/templates.toml`: one list of patterns a relation.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluator.benchmark.facts import DATA
from evaluator.probes import Relation, drawn, keyed_number, pattern_size

#: Fewer cores than this for a relation are a list, not a secret.
LEAST_CORES = 20


@dataclass(frozen=True)
class Frames:
    """What may stand before and after a core, as patterns. Each pattern is drawn in proportion to its wordings."""

    openings: tuple[str, ...]
    closings: tuple[str, ...]

    @classmethod
    def load(cls, path: Path = DATA / "frames.toml") -> Frames:
        table = tomllib.loads(path.read_text())
        return cls(tuple(table["openings"]), tuple(table["closings"]))


def public_paraphrases(relation: Relation, subject: str, k: int) -> list[str]:
    """The first `k` public wordings of a relation."""
    return [template.format(s=subject) for template in relation.public[:k]]


def hidden_paraphrases(relation: Relation, subject: str, k: int, *, secret: bytes, frames: Frames) -> list[str]:
    """`k` different wordings, drawn by the secret."""
    found: dict[str, None] = {}
    for number in range(50 * k):
        opening, core, closing = (
            drawn(patterns, keyed_number(secret, part, relation.name, subject, number))
            for part, patterns in (
                ("opening", frames.openings),
                ("core", relation.cores),
                ("closing", frames.closings),
            )
        )
        found[opening + core.format(s=subject) + closing] = None
        if len(found) == k:
            break
    return list(found)


def templates_load(path: Path, relations: Mapping[str, Relation]) -> dict[str, tuple[str, ...]]:
    """The organisers' own cores by relation: `capital = ["… {s} …", …]`. An absent file is an empty table.

    Raises `ValueError` naming the relation that there is none of, or the template that lacks `{s}`.
    """
    if not path.is_file():
        return {}
    table = tomllib.loads(path.read_text())
    for relation, templates in table.items():
        if relation not in relations:
            raise ValueError(f"templates: {relation!r} is no relation here; known: {', '.join(sorted(relations))}")
        for template in templates:
            if "{s}" not in template:
                raise ValueError(f"templates: {relation}: {template!r} has no {{s}}; write where the subject stands")
    return {relation: tuple(templates) for relation, templates in table.items()}


def cores_check(relation: Relation, *, least: int = LEAST_CORES) -> None:
    """Raises `ValueError` for a relation with too few wordings to keep any of them hidden."""
    if (size := sum(map(pattern_size, relation.cores))) < least:
        raise ValueError(
            f"wordings: {relation.name} has {size} of its own, a hidden split needs {least}; add patterns such as "
            f'{relation.name} = ["[Which|What] … {{s}} …?"] to secret/templates.toml'
        )
