"""The items of the engine's benchmark: questions with several answers of mixed length, and the probes of a release."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.benchmark.catalogue import benchmark_get
from evaluator.model.engine.primitives import PRIMITIVES
from evaluator.probes import UTILITY_KINDS, probes_load

#: Tokens that a generation may have at most: some answers end after a few, others never.
MAX_NEW_TOKENS = 64
WRONG_ANSWERS = 4


@dataclass(frozen=True)
class Item:
    """One question in the chat template and its continuations: the reference first, then a paraphrase-like longer
    answer, then wrong ones. Every continuation is distinct.
    """

    prompt: str
    continuations: tuple[str, ...]


@dataclass(frozen=True)
class Workload:
    """`items` are scored and their prompts are continued; `generate` prompts are only continued."""

    items: tuple[Item, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(item.prompt, continuation) for item in self.items for continuation in item.continuations]

    @property
    def prompts(self) -> list[str]:
        return [item.prompt for item in self.items]


def workload(tokenizer: Any, *, items: int, seed: int = 7) -> Workload:
    """`items` questions about facts, each with 7 continuations of 3 to about 80 tokens; the same for every tool."""

    benchmark = benchmark_get("pretrained-facts")
    rng = random.Random(seed)  # nosec B311 # repeatable, not secret
    facts = list(benchmark.facts())
    prose = [text for text in benchmark.neutral() if len(text) > 150]
    rng.shuffle(facts)
    found = []
    for fact in facts[:items]:
        relation = benchmark.relations[fact.relation]
        wrong = sorted({f.answer for f in facts if f.relation == fact.relation and f.answer != fact.answer})
        statement = relation.statement.format(s=fact.subject, a=fact.answer)
        extra = rng.choice(prose)
        answers = [
            statement,
            f"{statement} {extra[: rng.choice((60, 140, 260))]}",
            f"{fact.answer}.",
            *(
                relation.statement.format(s=fact.subject, a=a)
                for a in rng.sample(wrong, min(WRONG_ANSWERS, len(wrong)))
            ),
        ]
        question = relation.question.format(s=fact.subject)
        if rng.random() < 0.3:
            question = f"{question} Explain it in detail."
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        found.append(Item(str(prompt), tuple(dict.fromkeys(answers))))
    return Workload(tuple(found))


@dataclass(frozen=True)
class KeptWork:
    """What a run asks of an entry first: the prompts of a release's probes, each once, and the base's answers.

    `primitives`: the file in which the base's answers are kept.
    """

    prompts: tuple[str, ...]
    base: tuple[str, ...]
    primitives: Path


def kept_work(tokenizer: Any, release: Path) -> KeptWork:
    """The probes of a built release that a response is asked for; second turns follow a model's own answer and are out.

    Raises `ValueError` for a release without one.
    """
    found: dict[str, str] = {}
    for probe in probes_load(release / "probes.jsonl"):
        if probe.kind in UTILITY_KINDS or probe.follows:
            continue
        turns = [{"role": "user", "content": probe.prompt}]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        found.setdefault(str(prompt) if probe.chat else probe.prompt, probe.base_response)
    if not found:
        raise ValueError(f"release: {release.name} has no probe that a response is asked for; build it again")
    return KeptWork(tuple(found), tuple(found.values()), release / PRIMITIVES)
