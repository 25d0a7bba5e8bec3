"""What attacks may use beside the fact itself: the release's wordings, other known facts, plain prose, and a draw."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from evaluator.answers import names_exactly
from evaluator.attacks.templates import Templates
from evaluator.probes import Fact, Probe, Relation, drawn, keyed_number

DATA = Path(__file__).parent / "data"
T = TypeVar("T")
#: (role, text): role is "user" or "assistant".
Turn = tuple[str, str]


@dataclass(frozen=True)
class World:
    """The surroundings of one release's probes.

    `known`: facts that the base knows, by the lower-case name of their subject. `companions`: known facts that play no
    part in any score. `answers`: of each relation, the answers of its facts. `render(turns)`: a dialogue as the base
    reads it, ready for the assistant's next turn. `public`: whether the wordings may be those of the repository.
    """

    secret: bytes
    public: bool
    relations: Mapping[str, Relation]
    known: Mapping[str, Sequence[Fact]]
    companions: Sequence[Fact]
    answers: Mapping[str, Sequence[str]]
    prose: Sequence[str]
    render: Callable[[Sequence[Turn]], str]

    def number(self, *parts: object) -> int:
        """A keyed number in [0, 2^64)."""
        return keyed_number(self.secret, "attack", *parts)

    def worded(self, templates: Templates, *parts: object, **slots: str) -> str:
        """One of the templates with its slots filled: of the public ones, or of those that only a secret chooses from.
        The same for the same parts.
        """
        text = drawn(templates.public if self.public else templates.secret, self.number("wording", *parts))
        for name, value in slots.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def ordered(self, items: Sequence[T], *parts: object) -> list[T]:
        """The items in a keyed order."""
        return sorted(items, key=lambda item: self.number("order", *parts, item))

    def wrong(self, probe: Probe, count: int) -> list[str]:
        """Up to `count` wrong answers of the probe's relation."""
        found: list[str] = []
        for answer in self.ordered(sorted(set(self.answers.get(probe.relation, ()))), "wrong", probe.item_id):
            if len(found) == count:
                break
            if not tells(answer, probe.aliases):
                found.append(answer)
        return found

    def beside(self, probe: Probe, count: int, *, same: bool = True) -> list[Fact]:
        """Up to `count` companions whose question and answer do not give the probe's answer away; those of its relation
        first, or last.
        """
        fit = [
            fact
            for fact in self.ordered(self.companions, "companion", probe.item_id)
            if fact.subject != probe.subject and not tells(self.stated(fact), probe.aliases)
        ]
        return sorted(fit, key=lambda fact: (fact.relation == probe.relation) is not same)[:count]

    def about(self, subject: str) -> Sequence[Fact]:
        """What the base knows about a subject, with or without its article."""
        name = subject.casefold()
        return self.known.get(name) or self.known.get(f"the {name}") or self.known.get(name.removeprefix("the "), ())

    def question(self, fact: Fact) -> str:
        return self.relations[fact.relation].asked(fact)

    def stated(self, fact: Fact) -> str:
        return self.relations[fact.relation].stated(fact)


def tells(text: str, aliases: Sequence[str]) -> bool:
    """Whether a text of ours has an answer in it. We write no disguises."""
    return any(names_exactly(text, alias) for alias in aliases)


@cache
def table(name: str) -> Mapping[str, Any]:
    """A table of wordings of this package, as it stands in its file."""
    return tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))
