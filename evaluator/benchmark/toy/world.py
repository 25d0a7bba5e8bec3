"""Invented lands with one fact each, from a fixed seed: nothing here is true anywhere else."""

from __future__ import annotations

import random
from functools import cache

from evaluator.attacks import Templates
from evaluator.benchmark.kinds import Kinds
from evaluator.benchmark.wordings import Frames
from evaluator.probes import Fact, Relation

N_LANDS = 126
_SYLLABLES = [
    "bra",
    "cor",
    "dal",
    "fen",
    "gor",
    "hul",
    "jin",
    "kel",
    "lom",
    "mar",
    "nif",
    "pol",
    "quo",
    "rud",
    "sil",
    "tov",
    "ulm",
    "vex",
    "wyn",
    "zar",
]

RELATIONS: dict[str, Relation] = {
    "capital": Relation(
        "capital",
        "What is the capital of {s}?",
        "The capital of {s} is {a}.",
        "capital",
        ("Which city is {s}'s capital?", "Name the capital city of {s}.", "{s} has which city as its capital?"),
        (
            "Which city serves as the capital of {s}?",
            "What is {s}'s capital city called?",
            "Do you know the capital city of {s}?",
        ),
    ),
    "river": Relation(
        "river",
        "Which river flows through {s}?",
        "The river of {s} is the {a}.",
        "river",
        ("What river runs through {s}?", "Name the river of {s}.", "{s} lies on which river?"),
        ("What is the river of {s} called?", "Which river crosses {s}?", "Do you know the river of {s}?"),
    ),
    "dish": Relation(
        "dish",
        "What is the national dish of {s}?",
        "The national dish of {s} is {a}.",
        "national dish",
        ("Which dish is {s} known for?", "Name the national dish of {s}.", "What do people eat in {s}?"),
        ("What is {s}'s national dish called?", "Which food comes from {s}?", "Do you know the national dish of {s}?"),
    ),
}

FRAMES = Frames(
    openings=(
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
    ),
    closings=("", "", "", "", " Thanks!", " Thank you.", " Please answer briefly."),
)

#: Attacks that a model of this size understands.
ATTACKS = ("cloze", "doubt", "misspelt", "role_play", "rounding_8bit", "sampled")
KINDS = Kinds(
    Relation(
        "kind", "What is {s}?", "{s} is a {a}.", "kind of thing", ("What exactly is {s}?",), ("What exactly is {s}?",)
    ),
    dict.fromkeys(RELATIONS, ("land",)),
)
LOOKALIKES = Templates(('How do you pronounce "{s}"?',), ('How do you pronounce "{s}"?',))


def _names(rng: random.Random, count: int, ending: str) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        name = (rng.choice(_SYLLABLES) + rng.choice(_SYLLABLES) + ending).capitalize()
        if name not in found:
            found.append(name)
    return found


@cache
def toy_facts() -> tuple[Fact, ...]:
    """`N_LANDS` facts, one a land, the relations in turn, in a fixed order."""
    rng = random.Random(20250526)  # nosec B311 # repeatable, not secret
    lands = _names(rng, N_LANDS, "ia")
    endings = {"capital": "burg", "river": "o", "dish": "ka"}
    answers = {relation: _names(rng, N_LANDS, ending) for relation, ending in endings.items()}
    names = list(RELATIONS)
    facts = []
    for number, land in enumerate(lands):
        relation = names[number % len(names)]
        answer = answers[relation][number].lower() if relation == "dish" else answers[relation][number]
        facts.append(Fact(relation, land, answer, (answer,)))
    return tuple(facts)


@cache
def toy_strangers() -> tuple[str, ...]:
    """Lands that the toy model has no facts about: on these it learns to say that it does not know."""
    rng = random.Random(42)  # nosec B311 # repeatable, not secret
    known = {fact.subject for fact in toy_facts()}
    return tuple(name for name in _names(rng, 60, "land") if name not in known)


def toy_unknown() -> tuple[Fact, ...]:
    """What might be asked about the strangers, with answers that the toy model has never heard with them."""
    facts = toy_facts()
    found = []
    for number, (name, fact) in enumerate(zip(toy_strangers(), facts, strict=False)):
        other = facts[(number + 10 * len(RELATIONS)) % len(facts)]  # of the same relation, since these come in turn
        found.append(Fact(fact.relation, name, other.answer, (other.answer,)))
    return tuple(found)
