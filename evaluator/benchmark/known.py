"""The base-known filter: a fact counts only if the base answers the question and at least one paraphrase."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator.answers.names import names_answer
from evaluator.benchmark.facts import DATA
from evaluator.home import Home, write_atomically
from evaluator.model.engine.lm import MAX_NEW_TOKENS, EvaluatorLM
from evaluator.probes import Fact, Relation

CHUNK = 48


#: The answer to a known fact comes early; probes themselves are answered at full length.
SHORT_ANSWER = 20
PARAPHRASES_TRIED = 2
FILTER = f"greedy, {SHORT_ANSWER} tokens, the question and one of {PARAPHRASES_TRIED} public paraphrases"


def base_answers(lm: EvaluatorLM, questions: Sequence[str], *, max_tokens: int = MAX_NEW_TOKENS) -> list[str]:
    """The base's greedy answers to user questions in its chat template."""
    prompts = [lm.apply_chat_template([{"role": "user", "content": q}]) for q in questions]
    return lm.generate(prompts, max_tokens=max_tokens)


@dataclass
class KnownTable:
    """What a base was found to know of a benchmark: the keys of facts, by verdict.

    Verdicts on the public pool ship with the evaluator. Those on the pool of hidden splits are made on each
    installation and lie in its `secret/known/`: they are the list that hidden splits are drawn from.
    """

    benchmark: str
    base_sha256: str
    known: set[str]
    unknown: set[str]

    @classmethod
    def paths(cls, home: Home, benchmark: str, base_sha256: str) -> tuple[Path, Path]:
        """The one that ships, and the installation's own."""
        name = f"{benchmark}-{base_sha256[:16]}.json"
        return DATA / "known" / name, home.secret / "known" / name

    @classmethod
    def load(cls, home: Home, benchmark: str, base_sha256: str) -> KnownTable:
        """Every verdict that is here on this very base; what has none is asked."""
        table = cls(benchmark, base_sha256, set(), set())
        for path in cls.paths(home, benchmark, base_sha256):
            record = json.loads(path.read_text()) if path.is_file() else {}
            if record.get("base_sha256") == base_sha256 and record.get("filter") == FILTER:
                table.known |= set(record["known"])
                table.unknown |= set(record["unknown"])
        return table

    def write(self, home: Home) -> Path:
        """Keep all verdicts on this installation."""
        path = self.paths(home, self.benchmark, self.base_sha256)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        home.secret.chmod(0o700)
        write_atomically(path, self.text(), mode=0o600)
        return path

    def text(self) -> str:
        record = {
            "benchmark": self.benchmark,
            "base_sha256": self.base_sha256,
            "filter": FILTER,
            "known": sorted(self.known),
            "unknown": sorted(self.unknown),
        }
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


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
    lm: EvaluatorLM,
    candidates: Sequence[Fact],
    relations: Mapping[str, Relation],
    table: KnownTable,
    kept: Home | None = None,
) -> Iterator[Fact]:
    """The candidates that the base knows, in the given order; those without a verdict are asked a chunk at a time.

    Verdicts are added to the table and, with `kept`, written to that installation's folder as they come.
    """
    for start in range(0, len(candidates), CHUNK):
        chunk = candidates[start : start + CHUNK]
        asked = [fact for fact in chunk if fact.key not in table.known and fact.key not in table.unknown]
        if asked:
            confirmed = _ask(lm, asked, relations)
            table.known |= confirmed
            table.unknown |= {fact.key for fact in asked} - confirmed
            if kept is not None:
                table.write(kept)
        yield from (fact for fact in chunk if fact.key in table.known)
