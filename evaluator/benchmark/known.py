"""The base-known filter: a fact counts only if the base answers the question and at least one paraphrase."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator.benchmark.facts import DATA, Fact, Relation
from evaluator.home import write_atomically
from evaluator.measures.metrics.answer import names_answer
from evaluator.model.engine.lm import MAX_NEW_TOKENS, EvaluatorLM

CHUNK = 48


#: The answer to a known fact comes early; probes themselves are answered at full length.
SHORT_ANSWER = 20
PARAPHRASES_TRIED = 2


def base_answers(lm: EvaluatorLM, questions: Sequence[str], *, max_tokens: int = MAX_NEW_TOKENS) -> list[str]:
    """The base's greedy answers to user questions in its chat template."""
    prompts = [lm.apply_chat_template([{"role": "user", "content": q}]) for q in questions]
    return lm.generate(prompts, max_tokens=max_tokens)


@dataclass(frozen=True)
class KnownTable:
    """What a base was found to know: the keys of facts, by verdict. Kept for a base and benchmark by hash."""

    known: frozenset[str]
    unknown: frozenset[str]

    @classmethod
    def path(cls, benchmark: str, base_sha256: str) -> Path:
        return DATA / "known" / f"{benchmark}-{base_sha256[:16]}.json"

    @classmethod
    def load(cls, benchmark: str, base_sha256: str) -> KnownTable:
        """The table that ships for this very base, or an empty one: then every fact is asked."""
        path = cls.path(benchmark, base_sha256)
        if not path.is_file():
            return cls(frozenset(), frozenset())
        record = json.loads(path.read_text())
        if record["base_sha256"] != base_sha256:
            return cls(frozenset(), frozenset())
        return cls(frozenset(record["known"]), frozenset(record["unknown"]))

    def write(self, benchmark: str, base_sha256: str) -> Path:
        path = self.path(benchmark, base_sha256)
        record = {
            "benchmark": benchmark,
            "base_sha256": base_sha256,
            "filter": f"greedy, {SHORT_ANSWER} tokens, the question and one of {PARAPHRASES_TRIED} public paraphrases",
            "known": sorted(self.known),
            "unknown": sorted(self.unknown),
        }
        write_atomically(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        return path


def _ask(lm: EvaluatorLM, facts: Sequence[Fact], relations: Mapping[str, Relation]) -> set[str]:
    """The keys of the facts that the base answers on the question and on at least one paraphrase."""
    answers = base_answers(
        lm, [relations[f.relation].question.format(s=f.subject) for f in facts], max_tokens=SHORT_ANSWER
    )
    right = [f for f, a in zip(facts, answers, strict=True) if names_answer(a, f.aliases, "")]
    confirmed: set[str] = set()
    for number in range(PARAPHRASES_TRIED):
        waiting = [f for f in right if f.key not in confirmed]
        asked = [relations[f.relation].public[number].format(s=f.subject) for f in waiting]
        answers = base_answers(lm, asked, max_tokens=SHORT_ANSWER)
        confirmed |= {f.key for f, a in zip(waiting, answers, strict=True) if names_answer(a, f.aliases, "")}
    return confirmed


def known_facts(
    lm: EvaluatorLM, candidates: Sequence[Fact], relations: Mapping[str, Relation], table: KnownTable
) -> Iterator[Fact]:
    """The candidates that the base knows, in the given order; those without a verdict are asked a chunk at a time."""
    open_ = [f for f in candidates if f.key not in table.unknown]
    for start in range(0, len(open_), CHUNK):
        chunk = open_[start : start + CHUNK]
        confirmed = _ask(lm, [f for f in chunk if f.key not in table.known], relations)
        yield from (fact for fact in chunk if fact.key in confirmed or fact.key in table.known)


def known_table_make(
    lm: EvaluatorLM, facts: Sequence[Fact], relations: Mapping[str, Relation], *, say: Callable[[int], None]
) -> KnownTable:
    """Ask for every fact: minutes for a thousand of them. `say(n)` is called with the number asked so far."""
    known: set[str] = set()
    for start in range(0, len(facts), CHUNK):
        known |= _ask(lm, facts[start : start + CHUNK], relations)
        say(min(len(facts), start + CHUNK))
    return KnownTable(frozenset(known), frozenset(f.key for f in facts) - known)
