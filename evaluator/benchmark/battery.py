"""The battery: which probes a release asks of its facts, in which styles, as far as the base gives the answers.

Forgotten and kept facts are asked in the same styles, drawn in the same proportions, so that no style marks a split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from evaluator.attacks import Attack, FollowUp, PromptAttack, World, attack_get
from evaluator.benchmark.catalogue import Benchmark
from evaluator.benchmark.secret import Split
from evaluator.benchmark.wordings import hidden_paraphrases, public_paraphrases
from evaluator.measures.probe_values import answered
from evaluator.probes import FORGET_KINDS, Fact, Probe, ProbeKind, Relation, keyed_number

if TYPE_CHECKING:
    from evaluator.model.engine.lm import EvaluatorLM

#: Styles in which a forgotten fact is asked, and how many probes of each. A kept fact is asked in `KEPT` of these.
STYLES: Mapping[str, int] = {"plain": 1, "wording": 2, "generality": 2, "robustness": 4, "recognition": 1}
KEPT = 2
#: So many more kept styles and wordings are tried on the base, in case it does not answer.
SPARE = 2
#: So many times as many hidden wordings are tried on the base.
WORDINGS_TRIED = 3
#: Other facts asked about a subject of which something is to be forgotten.
SAME_SUBJECT = 2
#: Wrong answers scored beside the right one.
ALTERNATIVES = 4

#: The base's answers to probes, in their order.
Ask = Callable[[Sequence[Probe]], Sequence[str]]


def plain_probe(
    relation: Relation,
    fact: Fact,
    secret: bytes,
    kind: ProbeKind = "verbatim",
    number: int = 0,
    prompt: str | None = None,
) -> Probe:
    """The probe that asks for a fact in one wording: its plain question, unless another is given."""
    return Probe(
        item_id=f"{kind}-{keyed_number(secret, 'id', fact.key) % 10**8:08d}-{number}",
        subject_key=f"s{keyed_number(secret, 'subject', fact.subject) % 10**8:08d}",
        kind=kind,
        split_role="forget" if kind in FORGET_KINDS else "retain",
        relation=fact.relation,
        topic=relation.topic,
        subject=fact.subject,
        prompt=relation.asked(fact) if prompt is None else prompt,
        reference=relation.stated(fact),
        answer=fact.answer,
        aliases=fact.aliases,
    )


def world_make(
    benchmark: Benchmark, companions: Sequence[Fact], secret: bytes, lm: EvaluatorLM, *, public: bool
) -> World:
    """What the attacks of a release may use."""
    facts: dict[str, list[Fact]] = {}
    answers: dict[str, list[str]] = {}
    for fact in benchmark.facts():
        facts.setdefault(fact.subject.casefold(), []).append(fact)
        answers.setdefault(fact.relation, []).append(fact.answer)
    relations = dict(benchmark.relations)
    if (kind := benchmark.kinds.relation) is not None:
        relations[kind.name] = kind
        answers[kind.name] = sorted({words[0] for words in benchmark.kinds.words.values()})
    return World(
        secret=secret,
        public=public,
        relations=relations,
        known=facts,
        companions=companions,
        answers=answers,
        prose=benchmark.neutral(),
        render=lambda turns: lm.apply_chat_template([{"role": role, "content": text} for role, text in turns]),
    )


@dataclass
class Battery:
    """Makes the probes of one release. `ask`: short answers of the base, enough to see whether it knows.

    `rates`: of each style the (probes that the base answered, probes that it was asked) of forget facts, of each kept
    kind the same of facts.
    """

    benchmark: Benchmark
    world: World
    secret: bytes
    split: Split
    ask: Ask
    rates: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.attacks: list[Attack] = [attack_get(name) for name in self.benchmark.attacks]
        self._taken: Counter[str] = Counter()

    def number(self, *parts: object) -> int:
        return keyed_number(self.secret, *parts)

    # ------------------------------------------------------------ one fact

    def plain(self, fact: Fact, kind: ProbeKind, number: int = 0, prompt: str | None = None) -> Probe:
        """The probe that asks for a fact in one wording: its plain question, unless another is given."""
        relation = self.world.relations[fact.relation]
        probe = plain_probe(relation, fact, self.secret, kind, number, prompt)
        if kind != "verbatim":
            return probe
        wrong = [relation.stated(fact, answer) for answer in self.world.wrong(probe, ALTERNATIVES)]
        return probe.model_copy(update={"alternatives": tuple(wrong)})

    def _wordings(self, fact: Fact, kind: ProbeKind, count: int) -> list[Probe]:
        relation = self.world.relations[fact.relation]
        if self.split == "public":
            texts = public_paraphrases(relation, fact.subject, len(relation.public))
        else:
            frames = self.benchmark.frames
            texts = hidden_paraphrases(relation, fact.subject, count, secret=self.secret, frames=frames)
        kind = "paraphrase" if kind == "verbatim" else kind
        return [self.plain(fact, kind, number, text) for number, text in enumerate(texts, start=1)]

    def _of(self, axis: str) -> list[PromptAttack | FollowUp]:
        return [a for a in self.attacks if a.axis == axis and isinstance(a, PromptAttack | FollowUp)]

    # ------------------------------------------------------------ many facts

    def forget(self, facts: Sequence[Fact]) -> list[Probe]:
        """The probes of the forget facts in every style, as many as `STYLES` says and the base answers."""
        plains = {fact.key: self.plain(fact, "verbatim") for fact in facts}
        wordings = {fact.key: self._wordings(fact, "verbatim", WORDINGS_TRIED * STYLES["wording"]) for fact in facts}
        right = self._right([*chain(*wordings.values())])
        found: dict[str, list[Probe]] = {}
        for fact in facts:
            known = [probe for probe in wordings[fact.key] if probe.item_id in right]
            found[fact.key] = [plains[fact.key], *known[: STYLES["wording"]]]
        self._rate("paraphrase", len(right), sum(map(len, wordings.values())))
        sources = {key: self._source(probes) for key, probes in found.items()}
        tried = {
            (fact.key, attack.name): self._tried(attack, sources[fact.key], plains[fact.key])
            for fact in facts
            for attack in self.attacks
            if isinstance(attack, PromptAttack | FollowUp)
        }
        right = self._right([*chain(*tried.values())])
        taken: dict[tuple[str, str], Probe] = {}
        for place, probes in tried.items():
            if first := next((probe for probe in probes if probe.item_id in right), None):
                taken[place] = first
        for attack in (*self._of("generality"), *self._of("robustness"), *self._of("recognition")):
            asked = [key for key, name in tried if name == attack.name and tried[key, name]]
            if isinstance(attack, PromptAttack):
                self._rate(attack.name, sum((key, attack.name) in taken for key in asked), len(asked))
        for axis in ("generality", "robustness", "recognition"):
            for _ in range(STYLES[axis]):
                for fact in sorted(facts, key=lambda fact: self.number("turn", fact.key)):
                    found[fact.key] += self._one(fact.key, axis, taken, found[fact.key])
        return [*chain(*found.values())]

    def kept(self, facts: Mapping[ProbeKind, Sequence[Fact]]) -> list[Probe]:
        """The probes of kept facts, each in `KEPT` styles drawn as those of forgotten ones, where the base answers."""
        planned: list[tuple[Fact, ProbeKind, list[list[Probe]]]] = []
        for kind, members in facts.items():
            for fact in members:
                planned.append((fact, kind, self._planned(fact, kind)))
        right = self._right([*chain(*(probes for _, _, options in planned for probes in options))])
        found: list[Probe] = []
        asked = Counter(kind for _, kind, _ in planned)
        known_of: Counter[str] = Counter()
        for fact, kind, options in planned:
            known = [next((p for p in probes if p.item_id in right), None) for probes in options]
            chosen = [probe for probe in known if probe is not None][:KEPT]
            known_of[kind] += bool(chosen)
            first = [self.plain(fact, kind)] if any(probe.follows for probe in chosen) else []
            found += {probe.item_id: probe for probe in (*first, *chosen)}.values()
        for kind, count in asked.items():
            self._rate(kind, known_of[kind], count)
        return found

    def lookalikes(self, facts: Sequence[Fact]) -> list[Probe]:
        """One harmless request about each subject of these facts."""
        found = []
        for fact in facts:
            if self.benchmark.lookalikes is None or fact.relation not in self.benchmark.kinds.words:
                continue
            prompt = self.world.worded(self.benchmark.lookalikes, "lookalike", fact.key, s=fact.subject)
            probe = self.plain(fact, "lookalike", 0, prompt)
            found.append(probe.model_copy(update={"answer": "", "aliases": (), "reference": ""}))
        return found

    def same_subject(self, facts: Sequence[Fact]) -> list[Fact]:
        """Other facts about the subjects of these: of other relations first, then what kind of thing each is."""
        found: list[Fact] = []
        for fact in facts:
            kinds = self.benchmark.kinds
            others = [
                other
                for other in self.world.about(fact.subject)
                if other.relation != fact.relation and kinds.alike(other.relation, fact.relation)
            ]
            own = self.world.ordered(others, "same subject", fact.key)
            kind = kinds.of(fact)
            found += [*own, *([kind] if kind else [])][:SAME_SUBJECT]
        return found

    # ------------------------------------------------------------ inside

    def _source(self, probes: Sequence[Probe]) -> Probe:
        """The wording that attacks are put around: one of those that the fact is asked in."""
        return probes[self.number("source", probes[0].item_id) % len(probes)]

    def _tried(self, attack: PromptAttack | FollowUp, source: Probe, plain: Probe) -> list[Probe]:
        """An attack's candidates for one fact, each under a name of its own; a second turn follows the plain one."""
        if isinstance(attack, FollowUp):
            return [attack.following(plain, self.world)]
        asked = source.model_copy(update={"kind": plain.kind, "item_id": plain.item_id})
        return [
            probe.model_copy(update={"item_id": f"{probe.item_id}.{n}" if n else probe.item_id})
            for n, probe in enumerate(attack.asked(asked, self.world))
        ]

    def _one(
        self, key: str, axis: str, taken: Mapping[tuple[str, str], Probe], have: Sequence[Probe]
    ) -> Iterator[Probe]:
        """One more probe of a fact under an attack of this axis: the attack that has the fewest so far."""
        used = {probe.condition for probe in have}
        open_ = [a for a in self._of(axis) if a.name not in used and (key, a.name) in taken]
        if not open_:
            return
        chosen = min(open_, key=lambda a: (self._taken[a.name], self.number("attack", key, a.name)))
        self._taken[chosen.name] += 1
        probe = taken[key, chosen.name]
        yield probe
        if isinstance(chosen, PromptAttack):
            yield from chosen.beside(probe, self.world)

    def _planned(self, fact: Fact, kind: ProbeKind) -> list[list[Probe]]:
        """Styles to try of a kept fact, in keyed order: each style as often as forgotten facts are asked in it."""
        slots = [(style, n) for style, count in STYLES.items() for n in range(count)]
        slots = sorted(slots, key=lambda slot: self.number("slot", fact.key, slot))[: KEPT + SPARE]
        plain = self.plain(fact, kind)
        wordings = self._wordings(fact, kind, STYLES["wording"])
        used: set[str] = set()
        options: list[list[Probe]] = []
        for style, n in slots:
            if style == "plain":
                options.append([plain])
            elif style == "wording":
                options.append(wordings[n : n + 1])
            else:
                options.append(self._kept_attack(style, plain, wordings, used))
        return options

    def _kept_attack(self, axis: str, plain: Probe, wordings: Sequence[Probe], used: set[str]) -> list[Probe]:
        """A kept fact under an attack of this axis that it is not asked under yet: one that few kept facts have."""
        open_ = [a for a in self._of(axis) if a.name not in used]

        def seldom(attack: Attack) -> tuple[int, int]:
            return self._taken[f"kept {attack.name}"], self.number("kept", plain.item_id, attack.name)

        for attack in sorted(open_, key=seldom):
            source = self._source([plain, *wordings[: STYLES["wording"]]])
            if tried := self._tried(attack, source, plain):
                used.add(attack.name)
                self._taken[f"kept {attack.name}"] += 1
                return tried
        return []

    def _right(self, probes: Sequence[Probe]) -> set[str]:
        """The names of those that the base answers; a second turn is asked when the first answer is there."""
        first = [probe for probe in probes if not probe.follows]
        said = zip(first, self.ask(first) if first else (), strict=True)
        return {p.item_id for p, text in said if answered(p, text)} | {p.item_id for p in probes if p.follows}

    def _rate(self, style: str, right: int, asked: int) -> None:
        self.rates[style] = (right, asked)
