"""Examples of what an unlearning edit should do, made of facts that nobody asked to forget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from methods.common.contract.task import Alignment, Request
from methods.common.targets.refusals import REFUSALS, topic_of


@dataclass(frozen=True)
class Example:
    """A fact that is to be refused here: two questions about it, and one, with its answer, that is not about it.

    `answer` is the true answer to `question`; `unrelated_answer` is None where the examples do not hold it.
    """

    question: str
    paraphrase: str
    answer: str
    topic: str
    unrelated: str
    unrelated_answer: str | None

    @property
    def refusal(self) -> str:
        return REFUSALS[0].format(topic=self.topic)


def examples_of(alignment: Sequence[Alignment]) -> list[Example]:
    """One example a line. The lines' own edits replace an answer; here the same fact is refused instead."""
    known = {item.question: item.answer_without for item in alignment}
    return [
        Example(
            question=item.question,
            paraphrase=item.paraphrase,
            answer=item.answer_without,
            topic=topic_of(Request(id="", prompt=item.question, answer=item.answer_without)),
            unrelated=item.unrelated,
            unrelated_answer=known.get(item.unrelated),
        )
        for item in alignment
    ]
