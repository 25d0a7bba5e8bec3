"""The pool of a split: which facts a release may take, how many of those that the base knows, and for which part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

from evaluator.benchmark.catalogue import Benchmark
from evaluator.benchmark.secret import Split
from evaluator.probes import Fact, keyed_number

#: Share of subjects that public splits draw from; hidden splits draw from the others, whatever their secret.
PUBLIC_SHARE = 0.35
#: A hidden release forgets at most one of so many facts that the base knows, in every relation: who lists them all,
#: which the base lets everybody do, is right about one in so many.
POOL_SHARE = 10


@dataclass(frozen=True)
class Plan:
    """How many facts play each part."""

    forget: int
    neighbour: int
    retain: int
    given: int
    #: At most; as many requests have an answer that others share, so many there are.
    same_answer: int = 0

    @classmethod
    def of(cls, size: int) -> Plan:
        kept = max(8, size // 2 + 5)
        return cls(forget=size, neighbour=kept, retain=kept, given=min(2 * size, 50), same_answer=kept)


@cache
def is_public(subject: str) -> bool:
    """Whether a subject belongs to the public pool; the same for every benchmark and whatever the secret."""
    return keyed_number(b"palimpsest public pool", subject.casefold()) < PUBLIC_SHARE * 2**64


def candidates_of(benchmark: Benchmark, split: Split, secret: bytes) -> dict[str, list[Fact]]:
    """The facts that a split may hold by relation, each subject once, relations and facts in secret order.

    Own facts of the organisers are for hidden splits, whatever their subject.
    """
    best: dict[str, Fact] = {}
    for fact in benchmark.facts():
        if (is_public(fact.subject) and fact.key not in benchmark.own) != (split == "public"):
            continue
        held = best.get(fact.subject)
        if held is None or keyed_number(secret, "pick", fact.key) < keyed_number(secret, "pick", held.key):
            best[fact.subject] = fact
    found: dict[str, list[Fact]] = {}
    for fact in sorted(best.values(), key=lambda fact: keyed_number(secret, "order", fact.key)):
        found.setdefault(fact.relation, []).append(fact)
    return dict(sorted(found.items(), key=lambda item: keyed_number(secret, "relation", item[0])))


@dataclass
class Pool:
    """What the base is found to know of the candidates, asked for only as far as it is needed.

    `streams`: by relation the known facts, in secret order. `used`: subjects that other hidden releases have taken;
    no other takes them, and since a retired release is open, they hide nobody any more.
    """

    streams: Mapping[str, Iterator[Fact]]
    share: int
    used: frozenset[str] = frozenset()
    known: dict[str, list[Fact]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = {relation: [] for relation in self.streams}

    @property
    def size(self) -> int:
        """How many known facts were found so far."""
        return sum(map(len, self.known.values()))

    def _more(self, relation: str) -> bool:
        """Ask for one known fact more of a relation; False when there is none."""
        fact = next(self.streams[relation], None)
        if fact is not None:
            self.known[relation].append(fact)
        return fact is not None

    def _wide(self, relation: str, count: int) -> bool:
        """Whether the base knows so many facts of a relation that no other release has used."""
        while (have := sum(fact.subject not in self.used for fact in self.known[relation])) < count:
            if not self._more(relation):
                return False
        return have >= count

    def forget(self, count: int) -> list[Fact]:
        """`count` facts, relations in turn; of each relation at most one of `share` known ones.

        Raises `ValueError` with what the pool allows.
        """
        taken: dict[str, list[Fact]] = {relation: [] for relation in self.streams}
        open_ = list(self.streams)
        while open_ and sum(map(len, taken.values())) < count:
            for relation in list(open_):
                own = taken[relation]
                free = self._free(relation, own) if self._wide(relation, self.share * (len(own) + 1)) else None
                if free is None:
                    open_.remove(relation)
                    continue
                own.append(free)
                if sum(map(len, taken.values())) == count:
                    break
        found = list(chain.from_iterable(taken.values()))
        if len(found) < count:
            said = ", ".join(f"{relation} {len(facts)}" for relation, facts in sorted(self.known.items()))
            raise ValueError(
                f"size: the base knows {self.size} facts of this pool, of which a release may take one in {self.share} "
                f"of each relation: {len(found)} are left for {count} requests ({said}); choose a smaller size, give "
                "own facts in secret/facts.toml, or choose another base"
            )
        return found

    def _free(self, relation: str, taken: Sequence[Fact]) -> Fact | None:
        """The first known fact of a relation that nobody has taken."""
        gone = self.used | {fact.subject for fact in taken}
        return next((fact for fact in self.known[relation] if fact.subject not in gone), None)

    def others(self, taken: Iterable[Fact], relations: Iterable[str], count: int) -> list[Fact]:
        """Up to `count` more known facts of these relations in turn, of subjects that nobody has taken."""
        gone = {*self.used, *(fact.subject for fact in taken)}
        found: list[Fact] = []
        open_ = list(relations)
        while open_ and len(found) < count:
            for relation in list(open_):
                fact = self._next(relation, gone)
                if fact is None:
                    open_.remove(relation)
                    continue
                found.append(fact)
                gone.add(fact.subject)
                if len(found) == count:
                    break
        return found

    def sharing(self, taken: Sequence[Fact], count: int) -> list[Fact]:
        """Up to `count` known facts of other subjects, each with the relation and the answer of one of `taken`; those
        that were found already, so that nothing is asked for them.
        """
        gone = {*self.used, *(fact.subject for fact in taken)}
        found: list[Fact] = []
        for fact in taken:
            alike = (f for f in self.known[fact.relation] if f.subject not in gone and f.same_answer(fact))
            other = next(alike, None)
            if other is not None and len(found) < count:
                found.append(other)
                gone.add(other.subject)
        return found

    def _next(self, relation: str, gone: set[str]) -> Fact | None:
        place = 0
        while place < len(self.known[relation]) or self._more(relation):
            fact = self.known[relation][place]
            if fact.subject not in gone:
                return fact
            place += 1
        return None


def parts_of(pool: Pool, plan: Plan) -> dict[str, list[Fact]]:
    """Forget first; then what has the same answers; neighbours share a relation with a forget fact; the rest is
    retained or given to methods.

    Raises `ValueError` when the base knows too few facts.
    """
    forget = pool.forget(plan.forget)
    relations = [relation for relation in pool.streams if any(fact.relation == relation for fact in forget)]
    same = pool.sharing(forget, plan.same_answer)
    neighbour = pool.others([*forget, *same], relations, plan.neighbour)
    retain = pool.others([*forget, *same, *neighbour], pool.streams, plan.retain)
    given = pool.others([*forget, *same, *neighbour, *retain], pool.streams, plan.given)
    parts = {"forget": forget, "same_answer": same, "neighbour": neighbour, "retain": retain, "given": given}
    if len(neighbour) < plan.neighbour or len(retain) < plan.retain or len(given) < min(plan.given, 10):
        have = {part: len(facts) for part, facts in parts.items()}
        raise ValueError(
            f"size: the base knows too few facts for {plan}: found {have}; choose a smaller size, give own facts in "
            "secret/facts.toml, or choose another base"
        )
    return parts
