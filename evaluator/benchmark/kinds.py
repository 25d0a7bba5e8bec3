"""What the subjects of facts are, and requests that name one and ask for no fact: what stays of a forgotten subject."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluator.attacks import Templates
from evaluator.benchmark.facts import DATA
from evaluator.probes import Fact, Relation


@dataclass(frozen=True)
class Kinds:
    """`words`: of each relation, words of which one stands in any sensible answer to what its subjects are; the first
    names the kind. `relation`: how that is asked; None where it is not.
    """

    relation: Relation | None
    words: Mapping[str, tuple[str, ...]]

    def of(self, fact: Fact) -> Fact | None:
        """That the subject of a fact is what it is, as a fact; None where nothing is said of its relation."""
        words = self.words.get(fact.relation)
        if not words or self.relation is None:
            return None
        return Fact(self.relation.name, fact.subject, words[0], words)

    def alike(self, one: str, other: str) -> bool:
        """Whether two relations are about things of one kind, so that one name means one subject."""
        first, second = self.words.get(one, ("",)), self.words.get(other, ("",))
        return first[0] == second[0] != ""


NO_KINDS = Kinds(None, {})


def kinds_load(path: Path = DATA / "kinds.toml") -> Kinds:
    """The kinds that ship."""
    table = tomllib.loads(path.read_text())
    t = table["relation"]
    relation = Relation("kind", t["question"], t["statement"], t["topic"], tuple(t["public"]), tuple(t["cores"]))
    return Kinds(relation, {name: tuple(words) for name, words in table["kinds"].items()})


def lookalikes_load(path: Path = DATA / "lookalike.toml") -> Templates:
    """The harmless requests that ship."""
    return Templates.read(path.name, tomllib.loads(path.read_text()), "s")
