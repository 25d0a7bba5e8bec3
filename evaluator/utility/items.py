"""The items of the utility axis: multiple-choice questions and neutral texts, and the probes made of them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from evaluator.probes import Probe

DATA = Path(__file__).parent / "data"


class ChoiceItem(BaseModel):
    """A question with one right and three wrong replies, each a whole assistant turn in the same wording."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    ability: str
    question: str
    answer: str
    wrong: tuple[str, str, str]


class TextItem(BaseModel):
    """A paragraph that is scored as it stands, without a question and without a chat template."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    topic: str
    text: str


@dataclass(frozen=True)
class UtilitySet:
    """Everything that utility may be measured with; a release takes some of it."""

    choices: tuple[ChoiceItem, ...]
    texts: tuple[TextItem, ...]


Item = TypeVar("Item", ChoiceItem, TextItem)


def _lines(path: Path, of: type[Item]) -> tuple[Item, ...]:
    return tuple(of.model_validate_json(line) for line in path.read_text().splitlines() if line)


@cache
def items_load() -> UtilitySet:
    """The set that ships with the evaluator (`data/README.md` says what is in it and where it comes from)."""
    return UtilitySet(_lines(DATA / "choice.jsonl", ChoiceItem), _lines(DATA / "text.jsonl", TextItem))


def _some(items: Sequence[Item], number: int | None, secret: bytes) -> list[Item]:
    """`number` of the items by a keyed order, given back in their own order; all of them for None."""
    if number is None:
        return list(items)
    ranked = sorted(items, key=lambda item: hmac.digest(secret, item.id.encode(), hashlib.sha256))
    chosen = {item.id for item in ranked[:number]}
    return [item for item in items if item.id in chosen]


def utility_probes(
    items: UtilitySet, *, secret: bytes, n_choices: int | None = None, n_texts: int | None = None
) -> list[Probe]:
    """Probes of kinds `choice` and `text`, each its own cluster of the bootstrap. None takes all items.

    `secret` decides which items are taken; the base's own answers are not in them yet.
    """
    choices = [
        Probe(
            item_id=item.id,
            subject_key=f"u-{item.id}",
            kind="choice",
            split_role="utility",
            relation=item.ability,
            topic=item.ability,
            subject="",
            prompt=item.question,
            reference=item.answer,
            answer=item.answer,
            aliases=(item.answer,),
            alternatives=item.wrong,
        )
        for item in _some(items.choices, n_choices, secret)
    ]
    texts = [
        Probe(
            item_id=item.id,
            subject_key=f"u-{item.id}",
            kind="text",
            split_role="utility",
            relation="text",
            topic=item.topic,
            subject="",
            prompt="",
            reference=item.text,
            answer="",
            aliases=(),
        )
        for item in _some(items.texts, n_texts, secret)
    ]
    return [*choices, *texts]
