"""What a method is given of a release: forget requests, and the optional inputs beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from evaluator.benchmark.catalogue import Benchmark
from evaluator.contract import AlignExample, ForgetRequest, NeutralText, RetainExample, TriplesEntry
from evaluator.home import write_atomically
from evaluator.probes import Fact, keyed_number


def request_files(benchmark: Benchmark, parts: dict[str, list[Fact]], secret: bytes) -> dict[str, list[BaseModel]]:
    """The lines of every file by its name; `parts` are the facts by the part that they play, ids are keyed."""

    def identity(fact: Fact) -> str:
        return f"f{keyed_number(secret, 'request', fact.key) % 10**8:08d}"

    given = parts["given"]
    return {
        "forget": [
            ForgetRequest(
                id=identity(f),
                prompt=question(benchmark, f),
                answer=statement(benchmark, f),
                aliases=f.aliases,
                subject=f.subject,
                relation=f.relation,
            )
            for f in parts["forget"]
        ],
        "retain": [
            RetainExample(id=identity(f), prompt=question(benchmark, f), answer=statement(benchmark, f)) for f in given
        ],
        "neutral": [NeutralText(text=text) for text in benchmark.neutral()],
        "align": [*align_examples(benchmark, given, lambda fact: statement(benchmark, fact))],
        "triples": [
            TriplesEntry(id=identity(f), triples=((f.subject, f.relation.replace("_", " "), f.answer),))
            for f in parts["forget"]
        ],
    }


def request_files_write(folder: Path, files: Mapping[str, Sequence[BaseModel]]) -> None:
    """Write `NAME.jsonl` for every name."""
    for name, lines in files.items():
        text = "".join(line.model_dump_json(exclude_none=True) + "\n" for line in lines)
        write_atomically(folder / f"{name}.jsonl", text)


def align_examples(
    benchmark: Benchmark, facts: Sequence[Fact], answer_without: Callable[[Fact], str]
) -> list[AlignExample]:
    """An example edit of every fact that has another of its relation to take a wrong answer from.

    `answer_without(fact)` is what the base says before the edit.
    """
    found: list[AlignExample] = []
    for number, fact in enumerate(facts):
        others = (*facts[number + 1 :], *facts[:number])
        other = next((f.answer for f in others if f.relation == fact.relation and f.answer != fact.answer), None)
        if other is None:
            continue
        found.append(
            AlignExample(
                fact=statement(benchmark, fact, other),
                question=question(benchmark, fact),
                answer_with=statement(benchmark, fact, other),
                answer_without=answer_without(fact),
                paraphrase=benchmark.relations[fact.relation].public[0].format(s=fact.subject),
                unrelated=question(benchmark, facts[(number + 1) % len(facts)]),
            )
        )
    return found


def question(benchmark: Benchmark, fact: Fact) -> str:
    return benchmark.relations[fact.relation].question.format(s=fact.subject)


def statement(benchmark: Benchmark, fact: Fact, answer: str | None = None) -> str:
    """The fact as a sentence, or the same with another answer."""
    return benchmark.relations[fact.relation].statement.format(s=fact.subject, a=answer or fact.answer)
