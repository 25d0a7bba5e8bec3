"""The JSON lines that a method container reads: forget, retain, neutral, align and triples."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ForgetRequest(_Line):
    """One fact to be unlearned; `subject` is a substring of `prompt` when given."""

    id: str
    kind: Literal["qa", "text", "concept"] = "qa"
    prompt: str
    answer: str
    aliases: tuple[str, ...] = ()
    subject: str | None = None
    relation: str | None = None
    text: str | None = None


class RetainExample(_Line):
    """One fact to be kept. Disjoint from the retain items that are scored."""

    id: str
    prompt: str
    answer: str


class NeutralText(_Line):
    text: str


class AlignExample(_Line):
    fact: str
    question: str
    answer_with: str
    answer_without: str
    paraphrase: str
    unrelated: str


class TriplesEntry(_Line):
    id: str
    triples: tuple[tuple[str, str, str], ...]
