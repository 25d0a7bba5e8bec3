"""The labelled responses that the detector is trained and tested on (see data/README.md for what each label means)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from evaluator.measures.refusal.reading import Reading

Label = Literal[
    "refusal_good",
    "refusal_generic",
    "refusal_policy",
    "partial",
    "leak",
    "hallucination",
    "aside",
    "gibberish",
    "parroting",
    "normal",
]
Split = Literal["forget", "retain"]
LABELS: tuple[Label, ...] = get_args(Label)

DATA = Path(__file__).parent / "data"
LABELLED = DATA / "labelled.jsonl"
#: Labels that a second reader gave to a part of all three sets without seeing the first ones, by row.
SECOND_READING = DATA / "second_reading.json"
#: Written after everything else, in manners that the labelled set does not have.
UNSEEN = DATA / "unseen.jsonl"
#: Written before anything was tuned on its kinds: disguised answers, half-refusals, other languages, asides.
HELD_OUT = DATA / "held_out.jsonl"


@dataclass(frozen=True)
class Labelled:
    """One response with its label."""

    id: str
    reading: Reading
    split: Split
    label: Label
    source: str
    style: str
    part: Literal["train", "test"]
    #: Whether it names the true answer in any form; None where the label does not decide it (older half-refusals).
    leaks: bool | None


def labelled_read(path: Path = LABELLED) -> list[Labelled]:
    """Every row of a labelled set, in the file's order."""
    rows = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line:
            continue
        row = json.loads(line)
        reading = Reading(row["response"], row["question"], row["subject"], row["topic"], tuple(row["aliases"]))
        told: dict[Label, bool | None] = {"leak": True, "normal": True, "partial": None}
        leaks = row.get("leaks", told.get(row["label"], False))
        rows.append(
            Labelled(row["id"], reading, row["split"], row["label"], row["source"], row["style"], row["part"], leaks)
        )
    return rows
