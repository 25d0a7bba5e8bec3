"""Facts about the world, and how those of one relation are worded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """How facts of one kind are worded. `public` and `cores` hold `{s}`; `statement` also holds `{a}`."""

    name: str
    question: str
    statement: str
    topic: str
    public: tuple[str, ...]
    cores: tuple[str, ...]

    def asked(self, fact: Fact) -> str:
        """The plain question for a fact."""
        return self.question.format(s=fact.subject)

    def stated(self, fact: Fact, answer: str | None = None) -> str:
        """The fact as a sentence, or the same with another answer."""
        return self.statement.format(s=fact.subject, a=answer or fact.answer)


@dataclass(frozen=True)
class Fact:
    """One true fact: `aliases` are accepted spellings of the answer, the answer itself first."""

    relation: str
    subject: str
    answer: str
    aliases: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.relation}:{self.subject}"

    def same_answer(self, other: Fact) -> bool:
        """Whether an accepted spelling of the answer is one of the other's too."""
        return not {a.casefold() for a in self.aliases}.isdisjoint(a.casefold() for a in other.aliases)
