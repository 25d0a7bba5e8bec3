"""What a method is given of a release: forget requests, and the optional inputs beside them."""

from __future__ import annotations

from pydantic import BaseModel

from evaluator.benchmark.catalogue import Benchmark
from evaluator.benchmark.facts import Fact
from evaluator.benchmark.grammar import keyed_number
from evaluator.contract import AlignExample, ForgetRequest, NeutralText, RetainExample, TriplesEntry


def request_files(benchmark: Benchmark, parts: dict[str, list[Fact]], secret: bytes) -> dict[str, list[BaseModel]]:
    """The lines of every file by its name; `parts` are the facts by the part that they play, ids are keyed."""

    def identity(fact: Fact) -> str:
        return f"f{keyed_number(secret, 'request', fact.key) % 10**8:08d}"

    def question(fact: Fact) -> str:
        return benchmark.relations[fact.relation].question.format(s=fact.subject)

    def statement(fact: Fact, answer: str | None = None) -> str:
        return benchmark.relations[fact.relation].statement.format(s=fact.subject, a=answer or fact.answer)

    given = parts["given"]
    align: list[BaseModel] = []
    for number, fact in enumerate(given):
        other = next(
            (
                f.answer
                for f in given[number + 1 :] + given[:number]
                if f.relation == fact.relation and f.answer != fact.answer
            ),
            None,
        )
        if other is None:
            continue
        align.append(
            AlignExample(
                fact=statement(fact, other),
                question=question(fact),
                answer_with=statement(fact, other),
                answer_without=statement(fact),
                paraphrase=benchmark.relations[fact.relation].public[0].format(s=fact.subject),
                unrelated=question(given[(number + 1) % len(given)]),
            )
        )
    return {
        "forget": [
            ForgetRequest(
                id=identity(f),
                prompt=question(f),
                answer=statement(f),
                aliases=f.aliases,
                subject=f.subject,
                relation=f.relation,
            )
            for f in parts["forget"]
        ],
        "retain": [RetainExample(id=identity(f), prompt=question(f), answer=statement(f)) for f in given],
        "neutral": [NeutralText(text=text) for text in benchmark.neutral()],
        "align": align,
        "triples": [
            TriplesEntry(id=identity(f), triples=((f.subject, f.relation.replace("_", " "), f.answer),))
            for f in parts["forget"]
        ],
    }
