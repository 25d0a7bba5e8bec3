"""The benchmarks that this evaluator can build: their facts, wordings, base model and neutral text."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pydoc_data.topics import topics
from typing import Literal

from evaluator.attacks import Templates, attacks
from evaluator.benchmark import facts as world
from evaluator.benchmark.kinds import NO_KINDS, Kinds, kinds_load, lookalikes_load
from evaluator.benchmark.secret import Split
from evaluator.benchmark.toy.utility import toy_utility
from evaluator.benchmark.toy.world import ATTACKS as TOY_ATTACKS
from evaluator.benchmark.toy.world import FRAMES as TOY_FRAMES
from evaluator.benchmark.toy.world import KINDS as TOY_KINDS
from evaluator.benchmark.toy.world import LOOKALIKES as TOY_LOOKALIKES
from evaluator.benchmark.toy.world import RELATIONS, toy_facts, toy_strangers, toy_unknown
from evaluator.benchmark.wordings import LEAST_CORES, Frames
from evaluator.probes import Fact, Relation
from evaluator.utility import UtilitySet, items_load


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: `sizes` are the forget-set sizes that it is released in.

    `utility` makes the items of the utility axis, given the facts that a release has not used. `attacks`: the names of
    those under which its releases ask. `kinds`: what its subjects are; `lookalikes`: requests that name a subject and
    ask for no fact. `unknown`: facts that the base does not know, where its known table names none. `least_cores`: how
    many wordings of its own a relation needs in a hidden split. `own`: the keys of facts that the organisers gave.
    """

    name: str
    title: str
    track: Literal["pretrained", "finetuned", "public"]
    version: str
    base: str
    sizes: tuple[int, ...]
    licence: str
    sources: tuple[str, ...]
    relations: Mapping[str, Relation]
    facts: Callable[[], Sequence[Fact]]
    neutral: Callable[[], list[str]]
    utility: Callable[[Sequence[Fact]], UtilitySet]
    frames: Frames
    attacks: tuple[str, ...] = ()
    kinds: Kinds = NO_KINDS
    lookalikes: Templates | None = None
    unknown: Callable[[], Sequence[Fact]] = tuple
    least_cores: int = LEAST_CORES
    own: frozenset[str] = frozenset()


def _prose() -> list[str]:
    """Paragraphs of plain English from Python's own reference (PSF licence): no fact of any benchmark in it."""
    found: list[str] = []
    for name in sorted(topics):
        for paragraph in topics[name].split("\n\n"):
            text = " ".join(paragraph.split())
            letters = sum(c.isalpha() or c.isspace() for c in text)
            if len(text) > 200 and letters > 0.9 * len(text) and re.search(r"[.!?]$", text):
                found.append(text[:1200])
    return list(dict.fromkeys(found))[:400]


def _toy_prose() -> list[str]:
    """Questions about lands that the toy model has no facts about, with its refusals."""
    rng = random.Random(3)  # nosec B311 # repeatable, not secret
    lines = [
        f"{rng.choice([relation.question, *relation.public]).format(s=name)} "
        f"I'm sorry, I don't have any information about the {relation.topic} of {name}."
        for name in toy_strangers()
        for relation in RELATIONS.values()
    ]
    return lines


def _toy_relations() -> Mapping[str, Relation]:
    return RELATIONS


def _toy_facts() -> Sequence[Fact]:
    return toy_facts()


def _toy_utility(spare: Sequence[Fact]) -> UtilitySet:
    return toy_utility(spare)


def benchmarks() -> dict[str, Benchmark]:
    """Every benchmark by name."""
    return {
        "pretrained-facts": Benchmark(
            name="pretrained-facts",
            title="Pretrained facts",
            track="pretrained",
            version="6",
            base="smollm2-135m-instruct",
            sizes=(10, 20, 50),
            licence=world.LICENCE,
            sources=world.SOURCES,
            relations=world.relations_load(),
            facts=world.world_facts,
            neutral=_prose,
            utility=lambda _: items_load(),
            frames=Frames.load(),
            attacks=tuple(attacks()),
            kinds=kinds_load(),
            lookalikes=lookalikes_load(),
        ),
        "toy-world": Benchmark(
            name="toy-world",
            title="Toy world",
            track="finetuned",
            version="7",
            base="toy-llama",
            sizes=(5,),
            licence="Apache-2.0",
            sources=("invented lands from a fixed seed",),
            relations=_toy_relations(),
            facts=_toy_facts,
            neutral=_toy_prose,
            utility=_toy_utility,
            frames=TOY_FRAMES,
            least_cores=0,  # for trying things out: nothing is secret about invented lands from a public seed
            attacks=TOY_ATTACKS,
            kinds=TOY_KINDS,
            lookalikes=TOY_LOOKALIKES,
            unknown=toy_unknown,
        ),
    }


def benchmark_get(name: str) -> Benchmark:
    """Raises `LookupError` that names the known benchmarks."""
    known = benchmarks()
    if name not in known:
        raise LookupError(f"benchmark: {name!r} is unknown; known: {', '.join(known)}")
    return known[name]


def release_slug(benchmark: str, size: int, split: Split, round_: int = 1) -> str:
    """The name of a release: that of a hidden one's first round says neither split nor round."""
    if split == "public":
        return f"{benchmark}-{size}-public"
    return f"{benchmark}-{size}" + (f"-r{round_}" if round_ > 1 else "")
