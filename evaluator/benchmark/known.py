"""The base-known filter: a fact counts only if the base answers the question and at least one paraphrase."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from evaluator.benchmark.facts import Fact, Relation
from evaluator.engine.lm import MAX_NEW_TOKENS, EvaluatorLM
from evaluator.metrics.answer import names_answer

CHUNK = 48


#: The answer to a known fact comes early; probes themselves are answered at full length.
SHORT_ANSWER = 20
PARAPHRASES_TRIED = 2


def base_answers(lm: EvaluatorLM, questions: Sequence[str], *, max_tokens: int = MAX_NEW_TOKENS) -> list[str]:
    """The base's greedy answers to user questions in its chat template."""
    prompts = [lm.tok_encode(lm.apply_chat_template([{"role": "user", "content": q}])) for q in questions]
    return lm.subject.generate(prompts, max_tokens=max_tokens, stop=[])


def known_facts(
    lm: EvaluatorLM,
    candidates: Sequence[Fact],
    relations: dict[str, Relation],
    *,
    tested: Callable[[int], None] = lambda _: None,
) -> Iterator[Fact]:
    """The candidates that the base knows, in the given order, tested lazily a chunk at a time."""
    for start in range(0, len(candidates), CHUNK):
        chunk = candidates[start : start + CHUNK]
        answers = base_answers(
            lm, [relations[f.relation].question.format(s=f.subject) for f in chunk], max_tokens=SHORT_ANSWER
        )
        right = [f for f, a in zip(chunk, answers, strict=True) if names_answer(a, f.aliases, "")]
        confirmed: set[str] = set()
        for number in range(PARAPHRASES_TRIED):
            open_ = [f for f in right if f.key not in confirmed]
            asked = [relations[f.relation].public[number].format(s=f.subject) for f in open_]
            answers = base_answers(lm, asked, max_tokens=SHORT_ANSWER)
            confirmed |= {f.key for f, a in zip(open_, answers, strict=True) if names_answer(a, f.aliases, "")}
        tested(len(chunk))
        yield from (fact for fact in right if fact.key in confirmed)
