"""One probe: a prompt in one wording, with the reference that its answer is compared with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from evaluator.home import write_atomically

#: `same_subject` asks for another fact about a subject of which something is to be forgotten, `lookalike` names such a
#: subject and asks for no fact, `same_answer` asks of another subject what has the same answer. `choice` and `text`
#: belong to utility: multiple choice, and text that is only scored.
ProbeKind = Literal[
    "verbatim", "paraphrase", "neighbour", "retain", "same_subject", "lookalike", "same_answer", "choice", "text"
]
#: The condition of a probe that is asked as it is, of the model as it is; else the name of an attack.
PLAIN: Final = ""
#: The kinds that ask for what is to be forgotten.
FORGET_KINDS: Final = ("verbatim", "paraphrase")
#: The kinds that ask for what is to stay.
KEPT_KINDS: Final = ("neighbour", "retain", "same_subject", "lookalike", "same_answer")
#: No response is generated for these.
UTILITY_KINDS: Final = ("choice", "text")


class Probe(BaseModel):
    """`subject_key` is the cluster of the bootstrap; the `base_*` fields are the base model's own greedy answer.

    `alternatives`: wrong references in the wording of `reference`, scored beside it (truth ratio, choice).
    `condition`: the attack under which it is asked; `chat`: whether through the chat template, or as it stands.
    `question`: what the response is read against, where the prompt is more than the question; `options`: what may be
    chosen; `follows`: the item whose question and response come before the prompt, as an earlier turn.
    `base_logprob`: of a `text`, the base's mean log-probability of the reference, nats a token.
    `base_values`: the base's own values of the probe, by the names of `contract.values.COMPARED`.
    `unknown_values`: the base's mean values on facts of the relation that it does not know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_id: str
    subject_key: str
    kind: ProbeKind
    split_role: Literal["forget", "retain", "utility"]
    relation: str
    topic: str
    subject: str
    prompt: str
    reference: str
    answer: str
    aliases: tuple[str, ...]
    alternatives: tuple[str, ...] = ()
    base_response: str = ""
    base_correct: bool = False
    base_logprob: float | None = None
    # Left out where nothing is special, so that older releases keep their bytes and hashes.
    base_values: dict[str, float] = Field(default_factory=dict, exclude_if=lambda value: not value)
    unknown_values: dict[str, float] = Field(default_factory=dict, exclude_if=lambda value: not value)
    condition: str = Field(default=PLAIN, exclude_if=lambda value: value == PLAIN)
    chat: bool = Field(default=True, exclude_if=lambda value: value is True)
    question: str = Field(default="", exclude_if=lambda value: not value)
    options: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    follows: str = Field(default="", exclude_if=lambda value: not value)

    @property
    def asked(self) -> str:
        """The question that the response is read against."""
        return self.question or self.prompt


def probes_write(path: Path, probes: Iterable[Probe]) -> None:
    write_atomically(path, "".join(probe.model_dump_json() + "\n" for probe in probes))


def probes_load(path: Path) -> list[Probe]:
    """Every probe of a release. Raises `ValueError` when there is none."""
    probes = [Probe.model_validate(json.loads(line)) for line in path.read_text().splitlines() if line]
    if not probes:
        raise ValueError(f"probes: {path.name} holds no probe; build the release again")
    return probes
